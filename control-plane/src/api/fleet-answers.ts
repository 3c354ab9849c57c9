/**
 * What the API says of the proxies: all of them in short, one whole, and whether they agree.
 * Schemas and what fills them.
 */
import { z } from 'zod';
import type { EndpointHealth } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { ReplicaStatus } from '../replication/replica.ts';
import type { FleetBudget } from '../budget/fleet-budget.ts';
import type { CoreStatus } from '../core.ts';
import type { Convergence } from '../fleet/convergence.ts';
import type { ProxyView } from '../fleet/fleet-state.ts';
import { addPools, NO_CONNECTIONS, sumOf } from '../fleet/tenant-parts.ts';
import { fleetBudgetShape, toFleetBudget } from './budget-answers.ts';
import { activityShape, toActivity, totalsSchema } from './answers.ts';
import { poolShape, toPoolAnswer } from './tenant-stats.ts';

const publisherSchema = z.strictObject({
  phase: z.string(),
  position: z.int(),
  problem: z.string().nullable(),
});

const rejectedSchema = z.strictObject({ position: z.int(), reason: z.string() });

const vitalsSchema = z
  .strictObject({
    cpu_share: z.number().meta({ description: 'Of one core, since its report before.' }),
    rss_bytes: z.int(),
    heap_used_bytes: z.int(),
    loop_delay_p50_ms: z.number().meta({
      description: 'By how much the event loop was late, in the last 10 seconds at most.',
    }),
    loop_delay_p99_ms: z.number(),
    loop_delay_max_ms: z.number(),
  })
  .nullable()
  .meta({ description: 'null: it is of a version that does not tell.' });

const proxyShape = {
  id: z.string(),
  status: z.enum(['live', 'lost']),
  silent_ms: z.number().meta({ description: 'Since its last report.' }),
  version: z.string(),
  started_at: z.iso.datetime(),
  draining: z.boolean().meta({ description: 'It takes no new clients, and ends soon.' }),
  applied_position: z.int(),
  behind: z.int().meta({ description: 'Events of the log it has not applied yet.' }),
  rejected: rejectedSchema.nullable(),
  clients: z.int(),
  connections: totalsSchema,
  vitals: vitalsSchema,
  endpoints_failing: z.int().meta({
    description: 'Database servers to which its last dials have failed.',
  }),
};

const controlPlaneSchema = z
  .strictObject({
    id: z.string(),
    role: z.enum(['starting', 'following', 'taking_over', 'leading', 'stopped']),
    problem: z.string().nullable().meta({ description: 'Why it takes no part; else null.' }),
    leader: z.strictObject({ id: z.string(), api_url: z.string(), term: z.int() }).nullable(),
  })
  .meta({
    description: 'The one that answers, and who leads; null where one writes alone.',
  });

export const fleetSchema = z
  .strictObject({
    position: z.int().meta({ description: 'The last event of the log.' }),
    published_position: z.int().meta({ description: 'The last event proxies were told of.' }),
    epoch: z.int(),
    bus: z.string(),
    control_plane: controlPlaneSchema.nullable(),
    publishers: z.strictObject({ deltas: publisherSchema, events: publisherSchema }),
    summary: z
      .strictObject({
        live: z.int(),
        lost: z.int(),
        draining: z.int(),
        behind: z.int().meta({ description: 'Live proxies that do not serve the last event.' }),
        clients: z.int(),
        connections: totalsSchema,
      })
      .meta({ description: 'Over all live proxies.' }),
    ...fleetBudgetShape,
    proxies: z.array(z.strictObject(proxyShape)),
  })
  .meta({ id: 'Fleet' });

const { query_ms, acquire_ms, ...activityCounts } = activityShape;

export const proxySchema = z
  .strictObject({
    ...proxyShape,
    sent_at: z.iso.datetime().meta({ description: "By the proxy's own clock." }),
    epoch: z.int(),
    rejections: z
      .array(rejectedSchema.extend({ at: z.iso.datetime() }))
      .meta({ description: 'The last five at most, the newest first, settled ones included.' }),
    activity: z.strictObject(activityCounts).nullable().meta({
      description: 'Over all tenants. null: it is of a version that does not tell.',
    }),
    pools: z.array(z.strictObject({ tenant: z.string(), ...poolShape })),
    pools_omitted: z.int().meta({ description: 'Those that did not fit its report.' }),
    tenants: z.array(
      z.strictObject({ tenant: z.string(), ...activityCounts, query_ms, acquire_ms }),
    ),
    tenants_omitted: z.int(),
    endpoints: z.array(
      z.strictObject({
        host: z.string(),
        port: z.int(),
        outcome: z.enum(['connected', 'refused', 'failed']).meta({
          description:
            'Of the last dial. refused: the server would not have that login; failed: it could' +
            ' not be reached, or takes nobody.',
        }),
        dialed_at: z.iso.datetime(),
        dial_ms: z.number().nullable(),
        round_trip_ms: z.number().nullable(),
        error: z.string().nullable(),
        failing_since: z.iso.datetime().nullable(),
        consecutive_failures: z.int(),
      }),
    ),
    servers: z.array(
      z.strictObject({
        host: z.string(),
        port: z.int(),
        version: z.string(),
        max_connections: z.int(),
        reserved_connections: z.int(),
      }),
    ),
  })
  .meta({ id: 'Proxy' });

export const convergenceSchema = z
  .strictObject({
    state: z.enum(['converged', 'converging', 'stuck', 'no_proxies']).meta({
      description:
        'converged: every live proxy serves the last event. stuck: one that does not has refused' +
        ' what leads there.',
    }),
    position: z.int().meta({ description: 'The last event of the log.' }),
    published_position: z.int(),
    live: z.int(),
    lost: z.int(),
    reached: z.int().meta({ description: 'Live proxies that serve the last event.' }),
    share: z.number().meta({ description: 'reached / live; 1 where none is live.' }),
    proxies: z.array(
      z.strictObject({
        id: z.string(),
        status: z.enum(['live', 'lost']),
        epoch: z.int(),
        applied_position: z.int(),
        behind: z.int(),
        behind_since: z.iso.datetime().nullable().meta({
          description: 'When the first event was written that it has not applied.',
        }),
        rejected: rejectedSchema.nullable(),
        rejections: z.array(rejectedSchema.extend({ at: z.iso.datetime() })),
      }),
    ),
  })
  .meta({ id: 'Convergence' });

export function toFleetAnswer(
  status: CoreStatus,
  proxies: readonly ProxyView[],
  budget: Pick<FleetBudget, 'allocator'>,
): z.infer<typeof fleetSchema> {
  const all = proxies.map((view) => toProxySummary(view, status.position));
  const live = all.filter((one) => one.status === 'live');
  return {
    position: status.position,
    published_position: status.publishedPosition,
    epoch: status.epoch,
    bus: status.busStatus,
    control_plane: status.replica === undefined ? null : toControlPlane(status.replica),
    publishers: {
      deltas: { ...status.deltas, problem: status.deltas.problem ?? null },
      events: { ...status.events, problem: status.events.problem ?? null },
    },
    summary: {
      live: live.length,
      lost: all.length - live.length,
      draining: live.filter(({ draining }) => draining).length,
      behind: live.filter(({ behind }) => behind > 0).length,
      clients: live.reduce((sum, { clients }) => sum + clients, 0),
      connections: addPools(
        NO_CONNECTIONS,
        live.map(({ connections }) => connections),
      ),
    },
    budget: toFleetBudget(budget),
    proxies: all,
  };
}

function toProxySummary({ id, status, silentMs, report }: ProxyView, position: number) {
  const endpoints = report.endpoints ?? [];
  return {
    id,
    status,
    silent_ms: Math.round(silentMs),
    version: report.version,
    started_at: report.startedAt,
    draining: report.phase === 'draining',
    applied_position: report.appliedPosition,
    behind: Math.max(0, position - report.appliedPosition),
    rejected: report.rejected ?? null,
    clients: report.clients,
    connections: addPools(NO_CONNECTIONS, report.pools),
    vitals: toVitals(report.vitals),
    endpoints_failing: endpoints.filter(({ outcome }) => outcome === 'failed').length,
  };
}

function toVitals(vitals: ProxyView['report']['vitals']) {
  if (vitals === undefined) return null;
  return {
    cpu_share: vitals.cpuShare,
    rss_bytes: vitals.rssBytes,
    heap_used_bytes: vitals.heapUsedBytes,
    loop_delay_p50_ms: vitals.loopDelayP50Ms,
    loop_delay_p99_ms: vitals.loopDelayP99Ms,
    loop_delay_max_ms: vitals.loopDelayMaxMs,
  };
}

export function toProxyAnswer(view: ProxyView, position: number): z.infer<typeof proxySchema> {
  const { report } = view;
  return {
    ...toProxySummary(view, position),
    sent_at: report.sentAt,
    epoch: report.epoch,
    rejections: report.rejections ?? [],
    activity: toActivityCounts(report.activity),
    pools: report.pools.map((pool) => ({ tenant: pool.tenant, ...toPoolAnswer(pool) })),
    pools_omitted: report.poolsOmitted ?? 0,
    tenants: (report.tenants ?? []).map((activity) => ({
      tenant: activity.tenant,
      ...toActivity(sumOf([{ pools: [], activity }])),
    })),
    tenants_omitted: report.tenantsOmitted ?? 0,
    endpoints: (report.endpoints ?? []).map(toEndpointAnswer),
    servers: (report.servers ?? []).map(({ host, port, limits }) => ({
      host,
      port,
      version: limits.version,
      max_connections: limits.maxConnections,
      reserved_connections: limits.reservedConnections,
    })),
  };
}

function toActivityCounts(counts: ProxyView['report']['activity']) {
  if (counts === undefined) return null;
  const { queries, transactions, serverErrors, proxyErrors, pins } = counts;
  return {
    queries,
    transactions,
    server_errors: serverErrors,
    proxy_errors: proxyErrors,
    pins,
  };
}

function toEndpointAnswer(health: EndpointHealth) {
  return {
    host: health.host,
    port: health.port,
    outcome: health.outcome,
    dialed_at: health.dialedAt,
    dial_ms: health.dialMs ?? null,
    round_trip_ms: health.roundTripMs ?? null,
    error: health.error ?? null,
    failing_since: health.failingSince ?? null,
    consecutive_failures: health.consecutiveFailures,
  };
}

export function toConvergenceAnswer(
  { position, publishedPosition }: Pick<CoreStatus, 'position' | 'publishedPosition'>,
  { state, live, lost, reached, proxies }: Convergence,
): z.infer<typeof convergenceSchema> {
  return {
    state,
    position,
    published_position: publishedPosition,
    live,
    lost,
    reached,
    share: live === 0 ? 1 : Math.round((reached / live) * 1_000) / 1_000,
    proxies: proxies.map(({ id, status, epoch, appliedPosition, behind, behindSince, report }) => ({
      id,
      status,
      epoch,
      applied_position: appliedPosition,
      behind,
      behind_since: behindSince ?? null,
      rejected: report.rejected ?? null,
      rejections: report.rejections ?? [],
    })),
  };
}

function toControlPlane({ id, role, problem, leader }: ReplicaStatus) {
  return {
    id,
    role,
    problem: problem ?? null,
    leader:
      leader === undefined ? null : { id: leader.id, api_url: leader.apiUrl, term: leader.term },
  };
}
