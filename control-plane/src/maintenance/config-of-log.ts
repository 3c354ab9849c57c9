/**
 * The config as of a moment, read out of an event log for a config file. Owns: what becomes of
 * sealed passwords. Leaves: the text to shared/settings/config-export.ts.
 */
import { toPoolAnswer } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { DescribeSecret } from '@dbbouncer/shared/contract/secret.ts';
import { toTenantFields } from '@dbbouncer/shared/contract/tenant-conversion.ts';
import { operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { openKeySource } from '@dbbouncer/shared/secrets/key-source.ts';
import { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import { describeSecret } from '@dbbouncer/shared/secrets/password.ts';
import { toSealedText } from '@dbbouncer/shared/secrets/sealed-text.ts';
import type { ConfigToExport } from '@dbbouncer/shared/settings/config-export.ts';
import type { LogFile } from '../store/log-file.ts';
import { configAt, serversInOrder, tenantsInOrder } from './replay.ts';

/**
 * `variables`: others stand in their place. `sealed`: as they are, for whoever has the master key.
 * `revealed`: in clear.
 */
export type SecretsInExport = 'variables' | 'sealed' | 'revealed';

export interface ExportOptions {
  /** A position or a time; nothing: the last event. */
  readonly at: string | undefined;
  readonly secrets: SecretsInExport;
  /** Where the master key is, for secrets in clear. */
  readonly masterKey: string | undefined;
  readonly dataDir: string;
}

/** @throws SETTINGS_INVALID, SECRET_UNAVAILABLE for one that cannot be opened, STORE_* */
export function configOfLog(log: LogFile, options: ExportOptions): ConfigToExport {
  const config = configAt(log, options.at);
  const describe = describerOf(options);
  const tenants = tenantsInOrder(config).map((tenant) => ({
    fields: toTenantFields(tenant, describe(tenant)),
    state: operationsOf(tenant).state,
  }));
  const time = log.timeOf(config.position);
  const moment = time === undefined ? '' : `, which was written at ${time}`;
  return {
    defaults: toPoolAnswer(config.defaults),
    servers: serversInOrder(config),
    tenants,
    secrets: options.secrets === 'variables' ? 'described' : 'written',
    head: [
      `Config of DBBouncer: ${tenants.length} tenants and the defaults,`,
      `as of position ${config.position} of ${options.dataDir}${moment}.`,
    ],
  };
}

function describerOf(options: ExportOptions): (tenant: TenantConfig) => DescribeSecret {
  const { secrets, masterKey, dataDir } = options;
  if (secrets === 'variables') return () => describeSecret;
  if (secrets === 'sealed') return () => (secret) => written(secret, () => sealedText(secret));
  const source = openKeySource({ masterKey, dataDir, whenAbsent: 'wait' });
  const keyring = new Keyring(source, () => undefined);
  return ({ id }) =>
    (secret) =>
      written(secret, () => keyring.open(secret, id));
}

type Secret = Parameters<DescribeSecret>[0];

function written(secret: Secret, whenSealed: () => string): string {
  return secret.kind === 'sealed' ? whenSealed() : describeSecret(secret);
}

function sealedText(secret: Secret): string {
  return secret.kind === 'sealed' ? toSealedText(secret) : describeSecret(secret);
}
