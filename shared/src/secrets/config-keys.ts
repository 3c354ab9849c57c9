/**
 * Where the keys come from that sign and check the config: files of their own, or the master key.
 * Leaves: what is done with them to config-signature.ts.
 */
import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { UNSIGNED } from '../contract/signed-message.ts';
import type { ConfigSigner, ConfigVerifier } from '../contract/signed-message.ts';
import { sharedErrors } from '../errors.ts';
import type { Clock } from '../kernel/clock.ts';
import {
  configSigner,
  configVerifier,
  parseSigningKey,
  parseVerifyingKeys,
  signingKeyOf,
} from './config-signature.ts';
import type { SignaturePolicy, VerifyingKeys } from './config-signature.ts';
import type { Keyring } from './keyring.ts';

/** `private`: nobody but this program can write to the bus, and nothing is signed. */
export type BusReach = 'private' | 'shared';

const PURPOSE = 'config-signing';
const KEY_FILE_BYTES_MAX = 65_536;

export interface SigningSettings {
  readonly configSigningKeyFile: string | undefined;
}

export interface VerifyingSettings {
  readonly configPublicKeysFile: string | undefined;
  readonly configSignature: SignaturePolicy;
}

/** What a control plane signs with. @throws SETTINGS_INVALID when the file cannot be used */
export function openConfigSigner(
  settings: SigningSettings,
  keyring: Keyring,
  busReach: BusReach,
): ConfigSigner {
  return busReach === 'private' ? UNSIGNED : configSigner(signingKey(settings, keyring));
}

/**
 * The public half of what a control plane with these settings signs with, as PEM.
 * @throws SETTINGS_INVALID, SECRET_UNAVAILABLE when there is none to read
 */
export function configPublicKey(settings: SigningSettings, keyring: Keyring): string {
  const key = signingKey(settings, keyring)();
  return createPublicKey(key).export({ format: 'pem', type: 'spki' }).toString();
}

function signingKey({ configSigningKeyFile: path }: SigningSettings, keyring: Keyring) {
  if (path === undefined) return derivedSigningKey(keyring);
  const key = parseSigningKey(readKeyFile(path), path);
  return () => key;
}

/** What a proxy checks with. @throws SETTINGS_INVALID when the file cannot be used */
export function openConfigVerifier(
  { configPublicKeysFile: path, configSignature: policy }: VerifyingSettings,
  keyring: Keyring,
  clock: Clock,
  busReach: BusReach,
): ConfigVerifier {
  if (busReach === 'private') return UNSIGNED;
  if (path === undefined) return configVerifier(derivedKeys(keyring), policy, clock);
  const read = () => parseVerifyingKeys(readKeyFile(path), path);
  read();
  return configVerifier({ name: path, read }, policy, clock);
}

/** Everybody with the same master key has the same one. */
function derivedSigningKey(keyring: Keyring): () => KeyObject {
  let known: { readonly seed: Buffer; readonly key: KeyObject } | undefined;
  return () => {
    const seed = keyring.deriveFleetSecret(PURPOSE);
    if (known === undefined || !seed.equals(known.seed)) known = { seed, key: signingKeyOf(seed) };
    return known.key;
  };
}

function derivedKeys(keyring: Keyring): VerifyingKeys {
  const read = () =>
    keyring.deriveFleetSecrets(PURPOSE).map((seed) => createPublicKey(signingKeyOf(seed)));
  return { name: 'the master key', read };
}

function readKeyFile(path: string): string {
  try {
    const { size } = statSync(path);
    if (size > KEY_FILE_BYTES_MAX) {
      throw new Error(`${size} bytes, ${KEY_FILE_BYTES_MAX} is the limit`);
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    const message = `${path} cannot be read: ${(error as Error).message}`;
    throw sharedErrors.fail('SETTINGS_INVALID', message, {
      hint: 'Check config_signing_key_file and config_public_keys_file.',
    });
  }
}
