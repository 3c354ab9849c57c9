/**
 * A config as the text of a config file that leads to the same config again, read by itself on an
 * empty control plane. Owns: the text, the words at its head, the names of variables for passwords
 * that must not be in it. Leaves: where the config comes from to the caller.
 */
import type { PoolAnswer } from '../contract/pool-settings.ts';
import { DEFAULT_POOL_SETTINGS, toPoolAnswer } from '../contract/pool-settings.ts';
import { toWrittenServer } from '../contract/server-resource.ts';
import type { ServerFields } from '../contract/server-resource.ts';
import type { TenantFields } from '../contract/tenant-resource.ts';
import { toWrittenTenant } from '../contract/written-tenant.ts';
import type { SecretPlace, WriteSecret } from '../contract/written-tenant.ts';
import { configFileText } from './config-text.ts';

export interface ExportedTenant {
  /** Its secrets as `secrets` says. */
  readonly fields: TenantFields;
  readonly state: 'active' | 'paused' | 'draining';
}

export interface ConfigToExport {
  readonly defaults: PoolAnswer;
  readonly servers: readonly ServerFields[];
  readonly tenants: readonly ExportedTenant[];
  /**
   * `described`: in the words of answers; variables stand for what is sealed. `written`: as they
   * are to be written.
   */
  readonly secrets: 'described' | 'written';
  /** Of what it is a copy, a line each. */
  readonly head: readonly string[];
}

/** The text, piece by piece: there may be 100,000 tenants. */
export function configText(config: ConfigToExport): Iterable<string> {
  const variables = new Variables();
  const tenants = config.tenants.map(
    ({ fields }) =>
      [fields.id, toWrittenTenant(fields, writerOf(config, fields.id, variables))] as const,
  );
  return configFileText({
    head: [...config.head, ...notesOn(config, variables)],
    settings: {},
    defaults: ownDefaults(config.defaults),
    servers: Object.fromEntries(
      config.servers.map((server) => [server.name, toWrittenServer(server)] as const),
    ),
    tenants: Object.fromEntries(tenants),
  });
}

function writerOf({ secrets }: ConfigToExport, id: string, variables: Variables): WriteSecret {
  return secrets === 'written'
    ? (_, source) => source
    : (place, source) => (source === 'sealed' ? variables.nameFor(id, place) : source);
}

/** Variables of the proxies' environment, in the place of passwords. */
class Variables {
  readonly #places = new Map<string, string>();

  /** `TENANT_ACME_PASSWORD`, with a number behind it where two would be called alike. */
  nameFor(id: string, place: SecretPlace): string {
    const plain = ['TENANT', id, ...place.filter((part) => part !== 'users')]
      .map((part) => part.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '_'))
      .join('_');
    let name = plain;
    for (let number = 2; this.#places.has(name); number += 1) name = `${plain}_${number}`;
    this.#places.set(name, `${place.join('.')} of ${id}`);
    return `\${${name}}`;
  }

  *lines(): Iterable<string> {
    if (this.#places.size === 0) return;
    yield '';
    yield 'Passwords that are sealed are not in it. Set these in the environment of every proxy:';
    for (const [name, place] of this.#places) yield `  ${name}   ${place}`;
  }
}

function* notesOn({ tenants }: ConfigToExport, variables: Variables): Iterable<string> {
  yield 'API keys, and the settings of processes such as ports and TLS, are not in it.';
  yield* variables.lines();
  const halted = tenants.filter(({ state }) => state !== 'active');
  if (halted.length === 0) return;
  yield '';
  yield 'What a file cannot say:';
  for (const { fields, state } of halted) yield `  ${fields.id} was ${state}`;
}

/** What somebody has set; the others may be others in a later version. */
function ownDefaults(defaults: PoolAnswer): Readonly<Record<string, unknown>> {
  const builtIn: Readonly<Record<string, unknown>> = toPoolAnswer(DEFAULT_POOL_SETTINGS);
  return Object.fromEntries(
    Object.entries(defaults).filter(([name, value]) => value !== builtIn[name]),
  );
}
