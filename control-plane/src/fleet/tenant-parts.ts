/**
 * What reports say of one tenant: its part on each proxy, the sum over all of them, and how far its
 * last change has come on each. Pure.
 */
import { MergedLatencies } from '@dbbouncer/shared/contract/latency-histogram.ts';
import type {
  HaltedTenant,
  PoolReport,
  ProxyReport,
  TenantActivity,
} from '@dbbouncer/shared/contract/proxy-report.ts';
import type { TenantTraffic } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';

/** Sums over the pools of all live proxies. */
export interface ConnectionTotals {
  readonly active: number;
  readonly idle: number;
  readonly total: number;
  readonly waiting: number;
}

/** Of durations of the last 30 to 60 seconds. */
export interface Percentiles {
  readonly count: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

export interface TenantSums extends ConnectionTotals {
  /** Since the start of each proxy. */
  readonly queries: number;
  readonly transactions: number;
  readonly serverErrors: number;
  readonly proxyErrors: number;
  readonly pins: number;
  /** Nothing where there were none lately. */
  readonly queryTimes: Percentiles | undefined;
  readonly acquireTimes: Percentiles | undefined;
}

/** What one proxy has said of a tenant. */
export interface TenantPart {
  readonly pools: PoolReport[];
  activity?: TenantActivity;
  halted?: HaltedTenant;
}

/** A tenant as the control plane has it now. */
export interface WantedTenant {
  readonly id: string;
  readonly state: TenantTraffic;
  /** Of its last change. */
  readonly position: Position;
}

/**
 * - `behind`: the proxy has not applied the tenant's last change
 * - `unknown`: it says nothing of a tenant that is to be paused or drained
 * - `active`: it serves the tenant
 * - the others as proxies report them
 */
export type TenantState = 'behind' | 'unknown' | 'active' | HaltedTenant['state'];

export interface TenantProgress {
  readonly state: TenantState;
  /** Whether the last change holds, former server connections being gone. */
  readonly isDone: boolean;
  /** Only told of tenants that are paused or drained. */
  readonly clients: number | undefined;
  /** Server connections, and those of these that are being replaced. */
  readonly connections: number;
  readonly formerConnections: number;
  readonly since: string | undefined;
}

export const NO_CONNECTIONS: ConnectionTotals = Object.freeze({
  active: 0,
  idle: 0,
  total: 0,
  waiting: 0,
});

/** Of a report, by `tenantKey`. */
export function partsOf(report: ProxyReport): ReadonlyMap<string, TenantPart> {
  const parts = new Map<string, TenantPart>();
  const partOf = (tenant: string): TenantPart => {
    const key = tenantKey(tenant);
    let part = parts.get(key);
    if (part === undefined) parts.set(key, (part = { pools: [] }));
    return part;
  };
  for (const pool of report.pools) partOf(pool.tenant).pools.push(pool);
  for (const activity of report.tenants ?? []) partOf(activity.tenant).activity = activity;
  for (const halted of report.halted ?? []) partOf(halted.tenant).halted = halted;
  return parts;
}

export function addPools(
  totals: ConnectionTotals,
  pools: readonly ConnectionTotals[],
): ConnectionTotals {
  return pools.reduce(
    (sum, pool) => ({
      active: sum.active + pool.active,
      idle: sum.idle + pool.idle,
      total: sum.total + pool.total,
      waiting: sum.waiting + pool.waiting,
    }),
    totals,
  );
}

/** Percentiles are taken of all that the parts have counted, together. */
export function sumOf(parts: readonly TenantPart[]): TenantSums {
  const counts = { queries: 0, transactions: 0, serverErrors: 0, proxyErrors: 0, pins: 0 };
  const queries = new MergedLatencies();
  const acquires = new MergedLatencies();
  for (const { activity } of parts) {
    if (activity === undefined) continue;
    counts.queries += activity.queries;
    counts.transactions += activity.transactions;
    counts.serverErrors += activity.serverErrors;
    counts.proxyErrors += activity.proxyErrors;
    counts.pins += activity.pins;
    queries.add(activity.queryTimes ?? []);
    acquires.add(activity.acquireTimes ?? []);
  }
  return {
    ...addPools(
      NO_CONNECTIONS,
      parts.flatMap(({ pools }) => pools),
    ),
    ...counts,
    queryTimes: percentilesOf(queries),
    acquireTimes: percentilesOf(acquires),
  };
}

function percentilesOf(latencies: MergedLatencies): Percentiles | undefined {
  const of = (share: number) => latencies.percentileMs(share) ?? 0;
  if (latencies.total === 0) return undefined;
  return { count: latencies.total, p50Ms: of(0.5), p95Ms: of(0.95), p99Ms: of(0.99) };
}

export function progressOn(
  { appliedPosition }: Pick<ProxyReport, 'appliedPosition'>,
  part: TenantPart | undefined,
  wanted: WantedTenant,
): TenantProgress {
  const { pools = [], halted } = part ?? {};
  const state = stateOn(appliedPosition, halted, wanted);
  const connections = pools.reduce((sum, { total }) => sum + total, 0);
  const formerConnections = pools
    .filter((pool) => pool.state === 'draining')
    .reduce((sum, { total }) => sum + total, 0);
  const isThere = state === 'paused' || state === 'drained' || state === 'active';
  return {
    state,
    isDone: isThere && formerConnections === 0,
    clients: halted?.clients,
    connections: halted?.connections ?? connections,
    formerConnections,
    since: halted?.since,
  };
}

function stateOn(
  appliedPosition: Position,
  halted: HaltedTenant | undefined,
  { state, position }: WantedTenant,
): TenantState {
  if (appliedPosition < position) return 'behind';
  if (state === 'active') return 'active';
  return halted?.state ?? 'unknown';
}
