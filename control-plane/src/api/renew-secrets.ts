/**
 * Secrets out of old events, fit for use now: each must open with a key that is there, and is
 * sealed with the primary one. Leaves: the cipher to the keyring.
 */
import { isDeepStrictEqual } from 'node:util';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { secretSchema } from '@dbbouncer/shared/contract/secret.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import type { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';

/**
 * `then` with secrets that proxies can open. One that `present` holds as well is the very same, so
 * that what did not change does not look changed.
 * @throws SECRET_UNAVAILABLE naming the key that is missing.
 */
export function renewSecrets(
  keyring: Keyring,
  then: TenantConfig,
  present: TenantConfig | undefined,
): TenantConfig {
  const { id } = then;
  const held: Sealed[] = [];
  mapSealed(present, (secret) => {
    held.push(secret);
    return secret;
  });
  const isPrimary = ({ keyId }: Sealed) => keyId === keyring.primaryKeyId;
  return mapSealed(then, (secret) => {
    if (held.some((own) => isDeepStrictEqual(own, secret))) return secret;
    const clear = keyring.open(secret, id, 'old password');
    const same = held.find((own) => isPrimary(own) && keyring.open(own, id) === clear);
    return same ?? (isPrimary(secret) ? secret : keyring.seal(clear, id));
  }) as TenantConfig;
}

type Sealed = Extract<Secret, { kind: 'sealed' }>;

/** The same value with every sealed secret in it replaced, however deep it lies. */
function mapSealed(value: unknown, replace: (secret: Sealed) => Secret): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => mapSealed(item, replace));
  if (typeof value !== 'object' || value === null) return value;
  const secret = secretSchema.safeParse(value);
  if (secret.success) return secret.data.kind === 'sealed' ? replace(secret.data) : value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name, mapSealed(field, replace)]),
  );
}
