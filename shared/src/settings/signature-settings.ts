/**
 * The settings of how the config is signed on its way to proxies, a part of setting-list.ts.
 */
import { choice, text } from './setting-kinds.ts';
import { setting } from './setting-spec.ts';

export const SIGNATURE_SETTINGS = Object.freeze({
  configSignature: setting<'require' | 'accept_unsigned'>({
    env: 'DBBOUNCER_CONFIG_SIGNATURE',
    yaml: 'config_signature',
    default: 'require',
    description:
      'What reaches a proxy over NATS: require: it must be signed; accept_unsigned: what' +
      ' bears no signature is believed too, as control planes of former versions write it',
    read: choice(['require', 'accept_unsigned']),
  }),
  configSigningKeyFile: setting<string | undefined>({
    env: 'DBBOUNCER_CONFIG_SIGNING_KEY_FILE',
    yaml: 'config_signing_key_file',
    default: undefined,
    description:
      'PEM file with the Ed25519 key that a control plane signs the config with;' +
      ' without it one is derived from the master key',
    read: text(/\S/, 'not empty'),
  }),
  configPublicKeysFile: setting<string | undefined>({
    env: 'DBBOUNCER_CONFIG_PUBLIC_KEYS_FILE',
    yaml: 'config_public_keys_file',
    default: undefined,
    description:
      'PEM file with the public keys, one or several, that a proxy accepts signatures of;' +
      ' without it those derived from the master keys',
    read: text(/\S/, 'not empty'),
  }),
});
