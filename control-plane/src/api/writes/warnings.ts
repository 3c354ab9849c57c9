/**
 * What a write is allowed to do and an operator may still not want: told by a dry run, never
 * refused. Looks at the changed tenants, at others that resemble them, and at the fleet's reports.
 */
import { z } from 'zod';
import { newestOf } from '@dbbouncer/shared/contract/canary.ts';
import type { ConfigChange } from '@dbbouncer/shared/contract/config-delta.ts';
import { effectivePool } from '@dbbouncer/shared/contract/routing-config.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { WorkChanges } from '../../commands/commands.ts';
import { reaches } from '../../domain/api-key/tenant-pattern.ts';
import type { FleetReader } from '../../fleet/fleet-state.ts';
import { describeProbed } from './probed.ts';
import type { ProbedAnswer } from './probe-schema.ts';
import type { ServerBudgetAnswer, ServerBudgets } from './server-budgets.ts';
import type { Surroundings } from './surroundings.ts';

export const WARNING_LIMITS = Object.freeze({
  /** Changed tenants that are looked at: each is compared with all others. */
  tenantsMax: 20,
  /** Others that resemble one, looked at in the order of their ids. */
  othersMax: 1_000,
});

export const warningSchema = z
  .strictObject({
    code: z.enum([
      'clients_end',
      'database_shared',
      'if_match_missing',
      'minimum_over_maximum',
      'name_clash',
      'no_live_proxy',
      'not_all_checked',
      'of_the_file',
      'not_probed',
      'proxy_lags',
      'server_full',
      'server_overcommitted',
      'unreachable',
    ]),
    message: z.string(),
  })
  .meta({ id: 'Warning' });
export type Warning = Readonly<z.infer<typeof warningSchema>>;

/** Of other tenants it tells only those within the reach of who asks. */
export function* warningsOf(
  { events, delta }: WorkChanges,
  around: Surroundings,
): Iterable<Warning> {
  const { changes } = delta;
  for (const { message, hint = '' } of around.missing) {
    yield warn('if_match_missing', `The write would be refused: ${message} ${hint}`);
  }
  if (changes.length > 0) yield* aboutProxies(around.fleet);
  yield* aboutClients(events, around.fleet);
  const set = tenantsSetBy({ delta });
  for (const tenant of set.slice(0, WARNING_LIMITS.tenantsMax)) {
    yield* aboutOrigin(tenant, around);
    yield* aboutMinimum(tenant, around);
    yield* aboutDatabase(tenant, around);
    yield* aboutNames(tenant, around);
    yield* aboutServer(tenant, around);
  }
  if (set.length > WARNING_LIMITS.tenantsMax) {
    yield warn(
      'not_all_checked',
      `Only the first ${WARNING_LIMITS.tenantsMax} of ${set.length} changed tenants were checked.`,
    );
  }
}

/** As the write would leave them, or have them tried; in the order of the changes. */
export function tenantsSetBy({ delta }: Pick<WorkChanges, 'delta'>): readonly TenantConfig[] {
  return delta.changes.flatMap((change: ConfigChange) =>
    change.kind === 'tenant_set' ? [newestOf(change.tenant)] : [],
  );
}

export function aboutBudget(server: ServerBudgetAnswer): readonly Warning[] {
  const { host, port, tenants, proxies, budget } = server;
  const { max_connections: most, reserved_connections: reserved } = server;
  if (most === null) return [];
  const limit =
    `the server lets in ${most}, ${reserved ?? 0} of them for superusers and reserved roles` +
    ' alone.';
  const { declared_as: name, declared_max_connections: declared } = server;
  if (declared !== null && declared > most - (reserved ?? 0)) {
    const text = `Server "${name}" at ${host}:${port} is declared with ${declared} connections;`;
    return [warn('server_overcommitted', `${text} ${limit}`)];
  }
  if (budget <= most - (reserved ?? 0)) return [];
  const whose = tenants === 1 ? 'The tenant' : `The ${tenants} tenants`;
  const who = `${whose} of ${host}:${port} may open`;
  const over = proxies > 1 ? ` on ${proxies} proxies together` : '';
  const text = `${who} ${budget} server connections${over}; ${limit}`;
  return [warn('server_overcommitted', text)];
}

export function aboutOmitted({ summed, omitted }: ServerBudgets): readonly Warning[] {
  if (omitted === 0) return [];
  const all = summed.length + omitted;
  const text = `Only the first ${summed.length} of ${all} database servers were summed up.`;
  return [warn('not_all_checked', text)];
}

/** @param budget connections that the tenant may open on all live proxies together */
export function* aboutProbe(probed: ProbedAnswer, budget: number): Iterable<Warning> {
  const { outcome, tenant, server } = probed;
  if (outcome === 'failed') yield warn('unreachable', describeProbed(probed));
  if (outcome === 'not_probed') yield warn('not_probed', describeProbed(probed));
  for (const [whose, most] of [
    ['role', server?.role_connections ?? null],
    ['database', server?.database_connections ?? null],
  ] as const) {
    if (most === null || budget <= most) continue;
    const text = `may open ${budget} server connections; the server lets its ${whose} have ${most}`;
    yield warn('server_overcommitted', `Tenant "${tenant}" ${text}.`);
  }
}

function* aboutProxies(fleet: FleetReader): Iterable<Warning> {
  const proxies = fleet.proxies();
  if (!proxies.some(({ status }) => status === 'live')) {
    yield warn('no_live_proxy', 'No proxy is live: nobody would serve the change now.');
  }
  for (const { id, status, report } of proxies) {
    if (status === 'lost') {
      yield warn('proxy_lags', `Proxy ${id} is silent; it would hear of the change when back.`);
    } else if (report.rejected !== undefined) {
      const { position, reason } = report.rejected;
      yield warn('proxy_lags', `Proxy ${id} refuses position ${position}: ${reason}.`);
    }
  }
}

const ENDS_CLIENTS: ReadonlySet<string> = new Set([
  'TenantRemoved',
  'TenantDrained',
  'TenantClientsKilled',
]);

function* aboutClients(events: WorkChanges['events'], fleet: FleetReader): Iterable<Warning> {
  const ending = events.filter(({ type }) => ENDS_CLIENTS.has(type));
  if (ending.length === 0) return;
  const totals = fleet.totalsByTenant();
  for (const { stream, type } of ending) {
    const key = stream.slice(stream.indexOf('/') + 1);
    const { active = 0, waiting = 0 } = totals.get(key) ?? {};
    if (active + waiting === 0) continue;
    yield warn(
      'clients_end',
      `${type} ends clients of "${key}": ${active} are served and ${waiting} wait at the moment.`,
    );
  }
}

/** What the config file says of it is another thing from then on. */
function* aboutOrigin({ id }: TenantConfig, { tenants }: Surroundings): Iterable<Warning> {
  if (tenants.getTenant(id)?.origin !== 'file') return;
  yield warn(
    'of_the_file',
    `"${id}" is of the config file: this stays until its entry there changes, which then holds as` +
      ' a whole.',
  );
}

function* aboutMinimum(tenant: TenantConfig, { tenants }: Surroundings): Iterable<Warning> {
  const { defaults } = tenants.getDefaults();
  const { minConnections, maxConnections } = effectivePool({ defaults }, tenant);
  const databases = 1 + tenant.databases.length;
  if (minConnections * databases <= maxConnections) return;
  yield warn(
    'minimum_over_maximum',
    `min_connections ${minConnections} for each of the ${databases} databases of "${tenant.id}"` +
      ` are ${minConnections * databases}; max_connections is ${maxConnections}.`,
  );
}

function* aboutDatabase(tenant: TenantConfig, around: Surroundings): Iterable<Warning> {
  const { protocol, host, port, database } = tenant;
  const other = others(tenant, around, database).find(
    (one) =>
      one.protocol === protocol &&
      one.host.toLowerCase() === host.toLowerCase() &&
      one.port === port &&
      one.database === database,
  );
  if (other === undefined) return;
  yield warn(
    'database_shared',
    `"${tenant.id}" and "${other.id}" are the same database ${database} at ${host}:${port}.`,
  );
}

/** `X__user` selects tenant X, whatever else a login says: the two must then agree. */
function* aboutNames(tenant: TenantConfig, around: Surroundings): Iterable<Warning> {
  const prefix = `${tenantKey(tenant.id)}__`;
  const other = others(tenant, around, prefix).find(({ username }) =>
    username.toLowerCase().startsWith(prefix),
  );
  if (other !== undefined) yield clash(other.username, other.id, tenant.id);
  const end = tenant.username.indexOf('__');
  if (end < 1) return;
  const named = around.tenants.getTenant(tenant.username.slice(0, end))?.config;
  if (named === undefined || tenantKey(named.id) === tenantKey(tenant.id)) return;
  if (!reaches(around.reach, named.id)) return;
  yield clash(tenant.username, tenant.id, named.id);
}

function clash(user: string, owner: string, named: string): Warning {
  return warn(
    'name_clash',
    `User "${user}" of "${owner}" reads as a user of tenant "${named}": logins of it that select` +
      ` "${owner}" in another way would be refused.`,
  );
}

/** How servers say that they have no connection left. */
const NO_CONNECTION_LEFT = /too many (clients|connections)|remaining connection slots/i;

function* aboutServer(tenant: TenantConfig, around: Surroundings): Iterable<Warning> {
  const { tenants, fleet, reach } = around;
  const { host, port } = tenant;
  for (const { id: proxy, status, report } of fleet.proxies()) {
    if (status === 'lost') continue;
    const full = report.pools.find(({ tenant: id, failing }) => {
      if (failing === undefined || !NO_CONNECTION_LEFT.test(failing)) return false;
      if (!reaches(reach, id)) return false;
      const config = tenants.getTenant(id)?.config;
      return config?.host.toLowerCase() === host.toLowerCase() && config.port === port;
    });
    if (full === undefined) continue;
    yield warn(
      'server_full',
      `The server ${host}:${port} refuses connections of proxy ${proxy}: ${full.failing}.`,
    );
    return;
  }
}

function others(
  tenant: TenantConfig,
  { tenants, reach }: Surroundings,
  search: string,
): readonly TenantConfig[] {
  const page = tenants.listTenants({ search, reach, limit: WARNING_LIMITS.othersMax });
  return page.tenants
    .map(({ config }) => config)
    .filter(({ id }) => tenantKey(id) !== tenantKey(tenant.id));
}

function warn(code: Warning['code'], message: string): Warning {
  return { code, message };
}
