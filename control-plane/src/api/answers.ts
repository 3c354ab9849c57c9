/**
 * What the API answers with: schemas and the functions that fill them from the core's views.
 */
import { z } from 'zod';
import { effectivePool } from '@dbbouncer/shared/contract/routing-config.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { poolAnswerSchema, toPoolAnswer } from '@dbbouncer/shared/contract/pool-settings.ts';
import { toTenantFields } from '@dbbouncer/shared/contract/tenant-conversion.ts';
import { haltedTenantSchema } from '@dbbouncer/shared/contract/proxy-report.ts';
import { operationsOf, tenantStateSchema } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { tenantFieldsSchema } from '@dbbouncer/shared/contract/tenant-resource.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import { describeSecret } from '@dbbouncer/shared/secrets/password.ts';
import type { CoreStatus } from '../core.ts';
import { tenantOriginSchema } from '../domain/tenant/events.ts';
import { haltedIn } from '../fleet/fleet-state.ts';
import type { ConnectionTotals, FleetReader, ProxyView } from '../fleet/fleet-state.ts';
import type { TenantView } from '../store/read-models.ts';

const totalsShape = {
  active: z.int().meta({ description: 'Server connections that serve a client now.' }),
  idle: z.int(),
  total: z
    .int()
    .meta({ description: 'All server connections; they count towards max_connections.' }),
  waiting: z.int().meta({ description: 'Clients in line for a server connection.' }),
};

export const totalsSchema = z.strictObject(totalsShape);

const progressSchema = z.strictObject({ reached: z.int(), live: z.int() }).meta({
  description:
    'On how many of the live proxies the last change of the tenant holds. A pause holds when no' +
    ' server connection is left, a drain when no client is left either.',
});

export const tenantAnswerSchema = z
  .strictObject({
    ...tenantFieldsSchema.shape,
    effective: poolAnswerSchema.meta({ description: "The tenant's settings over the defaults." }),
    origin: tenantOriginSchema.meta({
      description: 'Who registered it. The config file removes only what it registered itself.',
    }),
    state: tenantStateSchema.meta({
      description: 'What pause, resume and drain have made of it.',
    }),
    on_proxies: progressSchema,
    version: z.int().meta({ description: 'The ETag without its quotes.' }),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    stats: totalsSchema.meta({ description: 'Summed over all live proxies.' }),
  })
  .meta({ id: 'Tenant' });
export type TenantAnswer = z.infer<typeof tenantAnswerSchema>;

/** A tenant as of some position of the log. */
export const recordedTenantSchema = tenantAnswerSchema
  .omit({ on_proxies: true, stats: true })
  .meta({ id: 'RecordedTenant' });
export type RecordedTenant = z.infer<typeof recordedTenantSchema>;

export const tenantListSchema = z
  .strictObject({
    tenants: z.array(tenantAnswerSchema),
    next_cursor: z.string().nullable().meta({ description: 'null on the last page.' }),
  })
  .meta({ id: 'TenantList' });

export const tenantStatsSchema = z
  .strictObject({
    id: z.string(),
    ...totalsShape,
    state: tenantStateSchema,
    on_proxies: progressSchema,
    halted: z
      .array(
        z.strictObject({
          proxy: z.string(),
          ...haltedTenantSchema.pick({ state: true, clients: true, connections: true }).shape,
        }),
      )
      .meta({ description: 'How far a pause or drain has come on each live proxy.' }),
    pools: z.array(
      z.strictObject({
        proxy: z.string(),
        database: z.string(),
        user: z.string().meta({ description: 'The user on the database server.' }),
        state: z.enum(['open', 'waiting_for_login', 'draining']).meta({
          description:
            'waiting_for_login: known by a SCRAM verifier alone, until a client has logged in.',
        }),
        ...totalsShape,
        longest_wait_ms: z.number(),
        failing: z.string().nullable().meta({ description: "The database's own words." }),
      }),
    ),
  })
  .meta({ id: 'TenantStats' });

const publisherSchema = z.strictObject({
  phase: z.string(),
  position: z.int(),
  problem: z.string().nullable(),
});

export const fleetSchema = z
  .strictObject({
    position: z.int().meta({ description: 'The last event of the log.' }),
    published_position: z.int().meta({ description: 'The last event proxies were told of.' }),
    epoch: z.int(),
    bus: z.string(),
    publishers: z.strictObject({ deltas: publisherSchema, events: publisherSchema }),
    proxies: z.array(
      z.strictObject({
        id: z.string(),
        status: z.enum(['live', 'lost']),
        silent_ms: z.number().meta({ description: 'Since its last report.' }),
        version: z.string(),
        started_at: z.iso.datetime(),
        applied_position: z.int(),
        behind: z.int().meta({ description: 'Events of the log it has not applied yet.' }),
        rejected: z.strictObject({ position: z.int(), reason: z.string() }).nullable(),
        clients: z.int(),
        connections: totalsSchema,
      }),
    ),
  })
  .meta({ id: 'Fleet' });

export function toTenantAnswer(
  view: TenantView,
  defaults: PoolSettings,
  fleet: FleetReader,
): TenantAnswer {
  return {
    ...toRecordedTenant(view, defaults),
    ...stateOf(view, fleet),
    stats: pickTotals(fleet.tenantTotals(view.config.id)),
  };
}

/** What the log knows of a tenant; of what the fleet makes of it, nothing. */
export function toRecordedTenant(view: TenantView, defaults: PoolSettings): RecordedTenant {
  return {
    ...toTenantFields(view.config, describeSecret),
    effective: toPoolAnswer(effectivePool({ defaults }, view.config)),
    origin: view.origin,
    state: operationsOf(view.config).state,
    version: view.version,
    created_at: view.createdAt,
    updated_at: view.updatedAt,
  };
}

function stateOf({ config, position }: TenantView, fleet: FleetReader) {
  const { state } = operationsOf(config);
  return { state, on_proxies: fleet.progressOf({ id: config.id, state, position }) };
}

export function toTenantStats(
  view: TenantView,
  fleet: FleetReader,
): z.infer<typeof tenantStatsSchema> {
  const { id } = view.config;
  const live = fleet.proxies().filter(({ status }) => status === 'live');
  return {
    id,
    ...pickTotals(fleet.tenantTotals(id)),
    ...stateOf(view, fleet),
    halted: live.flatMap((proxy) => toHaltedAnswer(proxy, id)),
    pools: live.flatMap((proxy) => toPoolAnswers(proxy, id)),
  };
}

function toHaltedAnswer({ id: proxy, report }: ProxyView, id: string) {
  const halted = haltedIn(report, id);
  if (halted === undefined) return [];
  const { state, clients, connections } = halted;
  return [{ proxy, state, clients, connections }];
}

function toPoolAnswers({ id: proxy, report }: ProxyView, id: string) {
  const key = tenantKey(id);
  return report.pools
    .filter((pool) => tenantKey(pool.tenant) === key)
    .map((pool) => ({
      proxy,
      database: pool.database,
      user: pool.user,
      state: pool.state ?? ('open' as const),
      ...pickTotals(pool),
      longest_wait_ms: pool.longestWaitMs,
      failing: pool.failing ?? null,
    }));
}

export function toFleetAnswer(
  status: CoreStatus,
  proxies: readonly ProxyView[],
): z.infer<typeof fleetSchema> {
  return {
    position: status.position,
    published_position: status.publishedPosition,
    epoch: status.epoch,
    bus: status.busStatus,
    publishers: {
      deltas: { ...status.deltas, problem: status.deltas.problem ?? null },
      events: { ...status.events, problem: status.events.problem ?? null },
    },
    proxies: proxies.map((view) => toProxyAnswer(view, status.position)),
  };
}

function toProxyAnswer({ id, status, silentMs, report }: ProxyView, position: number) {
  return {
    id,
    status,
    silent_ms: Math.round(silentMs),
    version: report.version,
    started_at: report.startedAt,
    applied_position: report.appliedPosition,
    behind: Math.max(0, position - report.appliedPosition),
    rejected: report.rejected ?? null,
    clients: report.clients,
    connections: report.pools.reduce(add, { active: 0, idle: 0, total: 0, waiting: 0 }),
  };
}

function add(sum: ConnectionTotals, pool: ConnectionTotals): ConnectionTotals {
  return {
    active: sum.active + pool.active,
    idle: sum.idle + pool.idle,
    total: sum.total + pool.total,
    waiting: sum.waiting + pool.waiting,
  };
}

function pickTotals({ active, idle, total, waiting }: ConnectionTotals): ConnectionTotals {
  return { active, idle, total, waiting };
}
