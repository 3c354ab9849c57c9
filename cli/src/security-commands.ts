/**
 * What NATS users may do, and the key that signatures are checked with, printed for operators.
 * Leaves: flags and help to security-program.ts.
 */
import { natsGrants, natsPermissionsText } from '@dbbouncer/shared/contract/nats-grants.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { isProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { configPublicKey } from '@dbbouncer/shared/secrets/config-keys.ts';
import { openKeySource } from '@dbbouncer/shared/secrets/key-source.ts';
import { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import type { SettingsInput } from '@dbbouncer/shared/settings/resolve.ts';
import type { NatsPlane } from './security-program.ts';

/** @throws SETTINGS_INVALID when `proxyId` is none */
export function runNatsGrants(plane: NatsPlane, proxyId: string): void {
  if (proxyId !== '*' && !isProxyId(proxyId)) {
    throw sharedErrors.fail('SETTINGS_INVALID', `"${proxyId}" is no id of a proxy`);
  }
  const grants = natsGrants(plane === 'proxy' ? 'proxy' : 'control_plane', proxyId);
  process.stdout.write(`${natsPermissionsText(grants)}\n`);
}

/** @throws SETTINGS_INVALID, SECRET_UNAVAILABLE when the key cannot be read */
export function runPublicKey(input: SettingsInput): void {
  const { settings } = resolveSettings(input);
  const { masterKey, dataDir } = settings;
  const source = openKeySource({ masterKey, dataDir, whenAbsent: 'wait' });
  const keyring = new Keyring(source, () => undefined);
  process.stdout.write(configPublicKey(settings, keyring));
}
