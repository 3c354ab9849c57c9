/**
 * The settings of how processes reach NATS and who they are there, a part of setting-list.ts.
 * Secrets stand in files or in the URL of a variable, never on a command line.
 */
import { secretText, text, wholeNumber } from './setting-kinds.ts';
import { setting } from './setting-spec.ts';
import type { SettingSpec } from './setting-spec.ts';

export const NATS_SETTINGS = Object.freeze({
  nats: setting<string | undefined>({
    flag: '--nats',
    argument: 'URL',
    env: 'DBBOUNCER_NATS',
    yaml: 'nats',
    default: undefined,
    description:
      'NATS servers, separated by commas; tls:// asks for TLS; without it both planes run in one' +
      ' process',
    read: secretText(/^[^\s,]+(,\s*[^\s,]+)*$/, 'one or more URLs such as nats://127.0.0.1:4222'),
  }),
  natsReplicas: setting<number>({
    env: 'DBBOUNCER_NATS_REPLICAS',
    yaml: 'nats_replicas',
    default: 1,
    description:
      'On how many servers of a NATS cluster streams and buckets are kept that have to be made;' +
      ' those that exist stay as they are',
    read: wholeNumber(1, 5),
  }),
  natsTlsCaFile: natsFile(
    '--nats-tls-ca-file',
    'DBBOUNCER_NATS_TLS_CA_FILE',
    'nats_tls_ca_file',
    'PEM file with the authorities that certificates of NATS servers must come from; asks for' +
      ' TLS; without it those that Node.js brings along',
  ),
  natsTlsCertFile: natsFile(
    '--nats-tls-cert-file',
    'DBBOUNCER_NATS_TLS_CERT_FILE',
    'nats_tls_cert_file',
    'PEM file with a certificate to show to NATS servers that ask for one; needs' +
      ' nats_tls_key_file',
  ),
  natsTlsKeyFile: natsFile(
    '--nats-tls-key-file',
    'DBBOUNCER_NATS_TLS_KEY_FILE',
    'nats_tls_key_file',
    'PEM file with the private key for nats_tls_cert_file',
  ),
  natsNkeyFile: natsFile(
    '--nats-nkey-file',
    'DBBOUNCER_NATS_NKEY_FILE',
    'nats_nkey_file',
    'File with the seed (SU…) of the NATS user to log in as, instead of a password in the URL',
  ),
  natsCredsFile: natsFile(
    '--nats-creds-file',
    'DBBOUNCER_NATS_CREDS_FILE',
    'nats_creds_file',
    'File with the JWT and seed of the NATS user to log in as, as nsc writes it',
  ),
});

function natsFile(
  flag: `--${string}`,
  env: `DBBOUNCER_${string}`,
  yaml: string,
  description: string,
): Readonly<SettingSpec<string | undefined>> {
  const argument = 'FILE';
  const read = text(/\S/, 'not empty');
  return setting<string | undefined>({
    flag,
    argument,
    env,
    yaml,
    default: undefined,
    description,
    read,
  });
}
