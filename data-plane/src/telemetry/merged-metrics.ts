/**
 * The metrics of all workers of a supervisor as one page.
 * The project's own are merged: counters, histograms and gauges are summed, but for a few gauges
 * of which the greatest or the least counts (metrics.ts says which). Those of Node and the process
 * get a label `worker`, for a sum of event-loop delays says nothing.
 * What an ended worker has counted stays in the sums: a sum that fell would look like a counter
 * that began anew, and rates over it would count everything again.
 * Owns: merging, and what ended workers have counted. Leaves: asking workers to workers/.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { Registry } from 'prom-client';
import type { Gauge } from 'prom-client';
import type { MetricsPage } from './metrics.ts';
import type { MetricFamily, Value } from './metric-values.ts';

/** What one process has to say. */
export interface MetricsOf {
  /** The label of what is not merged. */
  readonly worker: string;
  readonly families: readonly MetricFamily[];
}

const OWN_PREFIX = 'dbbouncer_';

type Series = Map<string, Value>;

interface Merged extends Omit<MetricFamily, 'values'> {
  readonly series: Series;
}

/** For so long a tenant that no living worker has served keeps what ended ones have counted. */
const FORGOTTEN_AFTER_MS = 600_000;

export class MergedMetrics {
  readonly #clock: Clock;
  /** Counters and histograms of ended workers, by name. */
  readonly #carried = new Map<string, Merged>();
  /** When a worker last knew of a tenant of which something is carried. */
  readonly #knownMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Keeps what a worker that has ended has counted. */
  ended({ families }: MetricsOf): void {
    for (const family of families) {
      if (!isOwn(family) || family.type === 'gauge') continue;
      addTo(this.#carried, family);
      for (const tenant of tenantsOf(family.values)) {
        this.#knownMs.set(tenant, this.#clock.nowMs());
      }
    }
  }

  /** @param parts of every process that lives, the supervisor's own among them */
  async page(parts: readonly MetricsOf[]): Promise<MetricsPage> {
    const merged = new Map<string, Merged>();
    for (const part of parts) {
      for (const family of part.families) {
        addTo(merged, isOwn(family) ? family : labelled(family, part.worker));
      }
    }
    this.#forgetRemovedTenants(merged);
    for (const { series, ...head } of this.#carried.values()) {
      addTo(merged, { ...head, values: [...series.values()] });
    }
    return await rendered(merged.values());
  }

  /** Else the counters of every tenant there ever was would be carried. */
  #forgetRemovedTenants(living: ReadonlyMap<string, Merged>): void {
    const nowMs = this.#clock.nowMs();
    for (const { series } of living.values()) {
      for (const tenant of tenantsOf(series.values())) {
        if (this.#knownMs.has(tenant)) this.#knownMs.set(tenant, nowMs);
      }
    }
    for (const [tenant, knownMs] of this.#knownMs) {
      if (nowMs - knownMs <= FORGOTTEN_AFTER_MS) continue;
      this.#knownMs.delete(tenant);
      for (const { series } of this.#carried.values()) {
        for (const [key, { labels }] of series) if (labels['tenant'] === tenant) series.delete(key);
      }
    }
  }
}

function tenantsOf(values: Iterable<Value>): Set<string> {
  const tenants = new Set<string>();
  for (const { labels } of values) {
    const { tenant } = labels;
    if (typeof tenant === 'string') tenants.add(tenant);
  }
  return tenants;
}

function isOwn({ name }: MetricFamily): boolean {
  return name.startsWith(OWN_PREFIX);
}

function labelled(family: MetricFamily, worker: string): MetricFamily {
  const values = family.values.map((value) => ({ ...value, labels: { ...value.labels, worker } }));
  return { ...family, values };
}

function addTo(merged: Map<string, Merged>, { values, ...head }: MetricFamily): void {
  let known = merged.get(head.name);
  if (known === undefined) merged.set(head.name, (known = { ...head, series: new Map() }));
  for (const value of values) {
    const key = seriesKey(value);
    const other = known.series.get(key);
    const both = other === undefined ? value.value : merge(head, other.value, value.value);
    known.series.set(key, { ...value, value: both });
  }
}

function merge({ aggregator }: Omit<MetricFamily, 'values'>, a: number, b: number): number {
  if (aggregator === 'max') return Math.max(a, b);
  return aggregator === 'min' ? Math.min(a, b) : a + b;
}

function seriesKey({ metricName = '', labels }: Value): string {
  const sorted = Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([metricName, ...sorted]);
}

async function rendered(families: Iterable<Merged>): Promise<MetricsPage> {
  const registry = new Registry();
  for (const { name, help, type, series } of families) {
    const head = { name, help, type };
    const metric = { ...head, get: async () => ({ ...head, values: [...series.values()] }) };
    // The registry asks no more of a metric than this.
    registry.registerMetric(metric as unknown as Gauge);
  }
  return { contentType: registry.contentType, text: await registry.metrics() };
}
