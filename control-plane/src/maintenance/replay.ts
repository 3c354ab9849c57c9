/**
 * The config as it was, read out of an event log by folding it from the first event: tenants and
 * defaults under the names they have in REST and YAML, secrets named by where they are.
 */
import { toPoolAnswer } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { RoutingConfig, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { toServerFields } from '@dbbouncer/shared/contract/server-resource.ts';
import type { ServerFields } from '@dbbouncer/shared/contract/server-resource.ts';
import { toTenantFields } from '@dbbouncer/shared/contract/tenant-conversion.ts';
import { operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { toTimestamp } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { describeSecret } from '@dbbouncer/shared/secrets/password.ts';
import { foldRouting, initialConfig } from '../projections/routing.ts';
import type { LogFile } from '../store/log-file.ts';

export interface ReplayedConfig {
  readonly position: Position;
  readonly defaults: Readonly<Record<string, unknown>>;
  /** By name; absent where none is declared. */
  readonly servers?: Readonly<Record<string, unknown>>;
  /** By id, in the order of ids. */
  readonly tenants: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/**
 * @param at a position, or a time with its offset; without it the last event there is.
 * @throws SETTINGS_INVALID when it is neither, or beyond the end of the log; STORE_*.
 */
export function replay(log: LogFile, at: string | undefined): ReplayedConfig {
  const config = configAt(log, at);
  const tenants = tenantsInOrder(config).map((tenant) => [tenant.id, fieldsOf(tenant)] as const);
  const servers = serversInOrder(config).map(({ name, ...fields }) => [name, fields] as const);
  return {
    position: config.position,
    defaults: toPoolAnswer(config.defaults),
    ...(servers.length > 0 && { servers: Object.fromEntries(servers) }),
    tenants: Object.fromEntries(tenants),
  };
}

/** As `replay`, for programs. */
export function configAt(log: LogFile, at: string | undefined): RoutingConfig {
  const position = at === undefined ? log.head() : positionOf(log, at);
  return foldRouting(initialConfig(log.epoch), log.readFacts(position));
}

export function tenantsInOrder({ tenants }: RoutingConfig): readonly TenantConfig[] {
  const keys = [...tenants.keys()].sort();
  return keys.map((key) => tenants.look(key)).filter((tenant) => tenant !== undefined);
}

export function serversInOrder({ servers }: RoutingConfig): readonly ServerFields[] {
  const keys = [...servers.keys()].sort();
  return keys.flatMap((key) => servers.get(key) ?? []).map(toServerFields);
}

/** Only what the tenant has itself. */
function fieldsOf(tenant: TenantConfig): Readonly<Record<string, unknown>> {
  const own: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(toTenantFields(tenant, describeSecret))) {
    if (value !== null && name !== 'id') own[name] = value;
  }
  const { state } = operationsOf(tenant);
  if (state !== 'active') own['state'] = state;
  return own;
}

function positionOf(log: LogFile, at: string): Position {
  const head = log.head();
  if (/^\d{1,15}$/.test(at)) {
    if (Number(at) <= head) return Number(at);
    throw sharedErrors.fail('SETTINGS_INVALID', `--at is ${at}; the log ends at ${head}.`);
  }
  const time = toTimestamp(at);
  if (time !== undefined) return log.lastByTime(time);
  throw sharedErrors.fail(
    'SETTINGS_INVALID',
    `--at must be a position or a time such as 2026-01-31T12:00:00Z; got "${at.slice(0, 60)}".`,
  );
}
