/**
 * Whom this proxy believes, put together: the keys that open passwords, those that config must be
 * signed with, and the seal of the copy that it keeps.
 * Leaves: all else to shared/src/secrets.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { openConfigVerifier } from '@dbbouncer/shared/secrets/config-keys.ts';
import type { BusReach } from '@dbbouncer/shared/secrets/config-keys.ts';
import { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import type { ReadEnv } from '@dbbouncer/shared/secrets/keyring.ts';
import { openKeySource } from '@dbbouncer/shared/secrets/key-source.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import type { CopySeal } from './config-feed/disk-copy.ts';

export interface TrustSurroundings {
  readonly busReach?: BusReach | undefined;
  readonly clock: Clock;
  readonly readEnv: ReadEnv;
}

/** @throws SETTINGS_INVALID when a key cannot be used */
export function trustOf(settings: Settings, surroundings: TrustSurroundings) {
  const { dataDir, masterKey, configSignature, configPublicKeysFile } = settings;
  const { busReach = 'shared', clock, readEnv } = surroundings;
  const ownFiles = keyFilesOf(settings);
  const source = openKeySource({ dataDir, masterKey, whenAbsent: 'wait', ownFiles });
  const keyring = new Keyring(source, readEnv);
  const signatures = { configSignature, configPublicKeysFile };
  const isStrict = configSignature === 'require' && busReach === 'shared';
  const seal: CopySeal = {
    key: () => keyring.deriveFleetSecret('config-copy'),
    keys: () => keyring.deriveFleetSecrets('config-copy'),
    unsealed: isStrict ? 'refused' : 'accepted',
  };
  return { keyring, verifier: openConfigVerifier(signatures, keyring, clock, busReach), seal };
}

/** What tenants must not have as passwords. In `up` the control plane's are among them. */
function keyFilesOf(settings: Settings): readonly (string | undefined)[] {
  const { tlsKeyFile, natsTlsKeyFile, natsNkeyFile, natsCredsFile, configSigningKeyFile } =
    settings;
  return [tlsKeyFile, natsTlsKeyFile, natsNkeyFile, natsCredsFile, configSigningKeyFile];
}
