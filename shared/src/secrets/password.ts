/**
 * What a written password means: `${NAME}` and `file:/path` are references that the proxy resolves;
 * anything else is the password itself, to be sealed. Owns: that syntax and its inverse. Leaves:
 * the cipher to keyring.ts.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Secret } from '../contract/secret.ts';
import type { Keyring } from './keyring.ts';

const ENV_REFERENCE = /^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$/;
const FILE_REFERENCE = /^file:(\/.*)$/s;

/** The reference that `written` is, or nothing when it is the password itself. */
export function passwordReference(written: string): Secret | undefined {
  const name = ENV_REFERENCE.exec(written)?.[1];
  if (name !== undefined) return Object.freeze({ kind: 'env', name });
  const path = FILE_REFERENCE.exec(written)?.[1];
  if (path !== undefined) return Object.freeze({ kind: 'file', path });
  return undefined;
}

/**
 * The secret for a written password: `current` itself when it already holds that password under the
 * primary key, so that writing the same password again changes nothing.
 * @throws SECRET_UNAVAILABLE when there is no key to seal with.
 */
export function toSecret(
  keyring: Keyring,
  written: string,
  tenantId: string,
  current?: Secret,
): Secret {
  const reference = passwordReference(written);
  if (reference !== undefined) return reference;
  return current !== undefined && holds(keyring, current, written, tenantId)
    ? current
    : keyring.seal(written, tenantId);
}

/** Whether `secret` is the written one, under whatever key it is sealed. */
export function isSecretOf(
  keyring: Keyring,
  written: string,
  tenantId: string,
  secret: Secret,
): boolean {
  const reference = passwordReference(written);
  if (reference !== undefined) return isDeepStrictEqual(reference, secret);
  return secret.kind === 'sealed' && opensTo(keyring, secret, written, tenantId);
}

/** Where the password is, without the password: "sealed", `${NAME}` or `file:/path`. */
export function describeSecret(secret: Secret): string {
  if (secret.kind === 'env') return `\${${secret.name}}`;
  return secret.kind === 'file' ? `file:${secret.path}` : 'sealed';
}

function holds(keyring: Keyring, secret: Secret, clear: string, tenantId: string): boolean {
  if (secret.kind !== 'sealed' || secret.keyId !== keyring.primaryKeyId) return false;
  return opensTo(keyring, secret, clear, tenantId);
}

function opensTo(keyring: Keyring, secret: Secret, clear: string, tenantId: string): boolean {
  try {
    return keyring.open(secret, tenantId) === clear;
  } catch {
    return false;
  }
}
