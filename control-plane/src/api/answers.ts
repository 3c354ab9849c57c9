/**
 * What the API answers with: schemas and the functions that fill them from the core's views.
 */
import { z } from 'zod';
import { effectivePool } from '@dbbouncer/shared/contract/routing-config.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { poolAnswerSchema, toPoolAnswer } from '@dbbouncer/shared/contract/pool-settings.ts';
import { toTenantFields } from '@dbbouncer/shared/contract/tenant-conversion.ts';
import { operationsOf, tenantStateSchema } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { tenantFieldsSchema } from '@dbbouncer/shared/contract/tenant-resource.ts';
import { describeSecret } from '@dbbouncer/shared/secrets/password.ts';
import { canaryAnswerSchema, toCanaryAnswer } from './canary-answers.ts';
import { tenantOriginSchema } from '../domain/tenant/events.ts';
import type { ConnectionTotals, FleetReader, TenantSums } from '../fleet/fleet-state.ts';
import type { Percentiles } from '../fleet/tenant-parts.ts';
import type { TenantView } from '../store/read-models.ts';

export const totalsShape = {
  active: z.int().meta({ description: 'Server connections that serve a client now.' }),
  idle: z.int(),
  total: z
    .int()
    .meta({ description: 'All server connections; they count towards max_connections.' }),
  waiting: z.int().meta({ description: 'Clients in line for a server connection.' }),
};

export const totalsSchema = z.strictObject(totalsShape);

const percentilesSchema = z
  .strictObject({
    count: z.int(),
    p50: z.number(),
    p95: z.number(),
    p99: z.number(),
  })
  .nullable()
  .meta({
    description:
      'Milliseconds, of the last 30 to 60 seconds, wrong by 12.5 % at most: taken of what all' +
      ' proxies have counted together. null: there was nothing to count.',
  });

export const activityShape = {
  queries: z.int().meta({ description: 'Since the start of each proxy, as are the next four.' }),
  transactions: z
    .int()
    .meta({ description: 'Leases of a server connection, and reads that shared one.' }),
  server_errors: z.int().meta({ description: 'Errors of the server that clients have read.' }),
  proxy_errors: z.int().meta({
    description: 'Errors of the proxy itself: no server connection, a limit, a config.',
  }),
  pins: z.int().meta({ description: 'Sessions that were bound to their server connection.' }),
  query_ms: percentilesSchema,
  acquire_ms: percentilesSchema,
};

export const sumsShape = {
  ...totalsShape,
  utilisation: z.number().meta({
    description: 'Server connections that are not idle, as a share of max_connections.',
  }),
  ...activityShape,
};

const sumsSchema = z.strictObject(sumsShape);

export const onProxiesSchema = z.strictObject({ reached: z.int(), live: z.int() }).meta({
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
    canary: canaryAnswerSchema.nullable(),
    on_proxies: onProxiesSchema,
    version: z.int().meta({ description: 'The ETag without its quotes.' }),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    stats: sumsSchema.meta({ description: 'Summed over all live proxies.' }),
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

export function toTenantAnswer(
  view: TenantView,
  defaults: PoolSettings,
  fleet: FleetReader,
): TenantAnswer {
  return {
    ...toRecordedTenant(view, defaults),
    ...stateOf(view, fleet),
    stats: toSums(fleet.tenantSums(view.config.id), effectivePool({ defaults }, view.config)),
  };
}

/** What the log knows of a tenant; of what the fleet makes of it, nothing. */
export function toRecordedTenant(view: TenantView, defaults: PoolSettings): RecordedTenant {
  return {
    ...toTenantFields(view.config, describeSecret),
    effective: toPoolAnswer(effectivePool({ defaults }, view.config)),
    origin: view.origin,
    state: operationsOf(view.config).state,
    canary: toCanaryAnswer(view),
    version: view.version,
    created_at: view.createdAt,
    updated_at: view.updatedAt,
  };
}

export function stateOf({ config, position }: TenantView, fleet: FleetReader) {
  const { state } = operationsOf(config);
  return { state, on_proxies: fleet.progressOf({ id: config.id, state, position }) };
}

export function toSums(sums: TenantSums, { maxConnections }: Pick<PoolSettings, 'maxConnections'>) {
  const share = (sums.total - sums.idle) / maxConnections;
  return {
    ...pickTotals(sums),
    utilisation: Math.round(share * 1_000) / 1_000,
    ...toActivity(sums),
  };
}

export function toActivity(sums: Omit<TenantSums, keyof ConnectionTotals>) {
  return {
    queries: sums.queries,
    transactions: sums.transactions,
    server_errors: sums.serverErrors,
    proxy_errors: sums.proxyErrors,
    pins: sums.pins,
    query_ms: toPercentiles(sums.queryTimes),
    acquire_ms: toPercentiles(sums.acquireTimes),
  };
}

function toPercentiles(percentiles: Percentiles | undefined) {
  if (percentiles === undefined) return null;
  const { count, p50Ms, p95Ms, p99Ms } = percentiles;
  return { count, p50: rounded(p50Ms), p95: rounded(p95Ms), p99: rounded(p99Ms) };
}

/** Microseconds are enough. */
function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

export function pickTotals({ active, idle, total, waiting }: ConnectionTotals): ConnectionTotals {
  return { active, idle, total, waiting };
}
