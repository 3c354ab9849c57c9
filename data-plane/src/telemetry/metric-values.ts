/**
 * Values of metrics as prom-client takes them, made of what pools and tallies have counted.
 */
import type { Protocol } from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { DurationTally } from './duration-tally.ts';
import type { ReadPool } from './pool-tally.ts';

export interface Value {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** The metric's own name unless given. */
  readonly metricName?: string;
}

export type MetricType = 'counter' | 'gauge' | 'histogram' | 'summary';

/** How the values that several workers have for one series become one. */
export type Merge = 'sum' | 'max' | 'min';

/** A metric with all its series, as prom-client gives it out. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly aggregator?: string;
  readonly values: readonly Value[];
}

export function plain(value: number): readonly Value[] {
  return [{ labels: {}, value }];
}

export function byLabel(label: string, counts: ReadonlyMap<string, number>): readonly Value[] {
  return Array.from(counts, ([reason, value]) => ({ labels: { [label]: reason }, value }));
}

export const sum = (a: number, b: number) => a + b;

/** One value per tenant and protocol, over all its pools. */
export function perTenant(
  pools: readonly ReadPool[],
  valueOf: (pool: ReadPool) => number,
  join: (a: number, b: number) => number,
): readonly Value[] {
  const values = new Map<string, { labels: Value['labels']; value: number }>();
  for (const pool of pools) {
    const { tenant, protocol } = pool.identity;
    const key = seriesKey(tenant, protocol);
    const known = values.get(key);
    if (known !== undefined) known.value = join(known.value, valueOf(pool));
    else values.set(key, { labels: { tenant, db_type: protocol }, value: valueOf(pool) });
  }
  return [...values.values()];
}

/** Draining pools belong to a former config: they say nothing about the tenant as it is. */
export function health(pools: readonly ReadPool[]): readonly Value[] {
  const values = new Map<string, { labels: Value['labels']; value: number }>();
  for (const { identity, reading } of pools) {
    if (reading.state === 'draining') continue;
    const works = reading.failing === undefined ? 1 : 0;
    const key = tenantKey(identity.tenant);
    const known = values.get(key);
    if (known !== undefined) known.value = Math.max(known.value, works);
    else values.set(key, { labels: { tenant: identity.tenant }, value: works });
  }
  return [...values.values()];
}

function seriesKey(tenant: string, protocol: Protocol): string {
  return `${protocol}/${tenantKey(tenant)}`;
}

export function durationsOf(
  name: string,
  labels: Value['labels'],
  tally: DurationTally,
): readonly Value[] {
  return histogram(name, labels, tally.cumulative(), tally.sumSeconds);
}

export function histogram(
  name: string,
  labels: Value['labels'],
  buckets: Iterable<readonly [bound: number | '+Inf', count: number]>,
  ofAll: number,
): readonly Value[] {
  let total = 0;
  const values: Value[] = [];
  for (const [le, count] of buckets) {
    values.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: count });
    total = count;
  }
  values.push({ metricName: `${name}_sum`, labels, value: ofAll });
  values.push({ metricName: `${name}_count`, labels, value: total });
  return values;
}
