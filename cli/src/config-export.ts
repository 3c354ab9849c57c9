/**
 * `dbbouncer config export`: the config of a running control plane, or of a data folder, as a
 * config file.
 */
import { openLogOf, reading } from '@dbbouncer/control-plane/maintenance/data-folder.ts';
import { configOfLog } from '@dbbouncer/control-plane/maintenance/config-of-log.ts';
import type { SecretsInExport } from '@dbbouncer/control-plane/maintenance/config-of-log.ts';
import type { PoolAnswer } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { ServerFields } from '@dbbouncer/shared/contract/server-resource.ts';
import { readTenantFields } from '@dbbouncer/shared/contract/tenant-resource.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { CONFIG_FILE_BYTES_MAX } from '@dbbouncer/shared/settings/config-file.ts';
import { configText } from '@dbbouncer/shared/settings/config-export.ts';
import type { ConfigToExport, ExportedTenant } from '@dbbouncer/shared/settings/config-export.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import type { SettingsInput } from '@dbbouncer/shared/settings/resolve.ts';
import { putOut } from './output.ts';
import { RestClient } from './rest-client.ts';

export interface ExportOptions {
  /** URL of a control plane; without it a data folder is read. */
  readonly api?: string | undefined;
  readonly apiKeyFile?: string | undefined;
  /** A position or a time. */
  readonly at?: string | undefined;
  readonly sealed?: boolean | undefined;
  readonly revealSecrets?: boolean | undefined;
  /** Where to; without it standard output. */
  readonly output?: string | undefined;
}

const PAGE_TENANTS = 200;

/** @throws SETTINGS_INVALID, SECRET_UNAVAILABLE, STORE_*, Error for what the API refuses */
export async function runExport(input: SettingsInput, options: ExportOptions): Promise<void> {
  const secrets = secretsAsked(options);
  const config =
    options.api === undefined
      ? fromDataFolder(input, options, secrets)
      : await fromApi(input, { ...options, api: options.api });
  const text = Array.from(configText(config)).join('');
  putOut(text, options.output, input.cwd);
  const bytes = Buffer.byteLength(text);
  if (bytes <= CONFIG_FILE_BYTES_MAX) return;
  process.stderr.write(
    `dbbouncer: it has ${bytes} bytes; a config file is read up to ${CONFIG_FILE_BYTES_MAX}\n`,
  );
}

function secretsAsked({ api, sealed, revealSecrets }: ExportOptions): SecretsInExport {
  if (sealed !== true && revealSecrets !== true) return 'variables';
  if (sealed === true && revealSecrets === true) {
    throw sharedErrors.fail(
      'SETTINGS_INVALID',
      '--sealed and --reveal-secrets exclude each other.',
    );
  }
  if (api === undefined) return sealed === true ? 'sealed' : 'revealed';
  throw sharedErrors.fail(
    'SETTINGS_INVALID',
    `--${sealed === true ? 'sealed' : 'reveal-secrets'} is for a data folder: the API gives no` +
      ' secret away.',
  );
}

function fromDataFolder(
  input: SettingsInput,
  { at }: ExportOptions,
  secrets: SecretsInExport,
): ConfigToExport {
  const { settings } = resolveSettings(input);
  const { dataDir, masterKey } = settings;
  return reading(openLogOf(dataDir), (log) =>
    configOfLog(log, { at, secrets, masterKey, dataDir }),
  );
}

interface ConfigPage {
  readonly position: number;
  readonly at: string | null;
  readonly defaults: PoolAnswer;
  readonly servers: readonly ServerFields[];
  readonly tenants: readonly { readonly state: ExportedTenant['state'] }[];
  readonly next_cursor: string | null;
}

async function fromApi(
  { env }: SettingsInput,
  { api, apiKeyFile, at }: ExportOptions & { readonly api: string },
): Promise<ConfigToExport> {
  const client = new RestClient({ api, apiKeyFile }, env);
  const tenants: ExportedTenant[] = [];
  let page: ConfigPage | undefined;
  do {
    const query = new URLSearchParams({ limit: String(PAGE_TENANTS) });
    if (page?.next_cursor) query.set('cursor', page.next_cursor);
    else if (at !== undefined) query.set('at', at);
    page = (await client.get(`/config?${query.toString()}`)) as unknown as ConfigPage;
    for (const answer of page.tenants) {
      tenants.push({ fields: readTenantFields(answer), state: answer.state });
    }
  } while (page.next_cursor !== null);
  const moment = page.at === null ? '' : `, which was written at ${page.at}`;
  return {
    defaults: page.defaults,
    servers: page.servers,
    tenants,
    secrets: 'described',
    head: [
      `Config of DBBouncer: ${tenants.length} tenants and the defaults,`,
      `as of position ${page.position} of ${client.url}${moment}.`,
    ],
  };
}
