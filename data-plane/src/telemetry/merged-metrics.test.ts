/** Pages of several workers as one, over the ends of workers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { MergedMetrics } from './merged-metrics.ts';
import type { MetricFamily, Value } from './metric-values.ts';

function family(
  name: string,
  type: MetricFamily['type'],
  values: readonly Value[] | number,
  aggregator = 'sum',
): MetricFamily {
  const all = typeof values === 'number' ? [{ labels: {}, value: values }] : values;
  return { name, help: 'Help', type, aggregator, values: all };
}

const queries = (tenant: string, value: number) =>
  family('dbbouncer_queries_total', 'counter', [{ labels: { tenant }, value }]);

async function lines(
  merged: MergedMetrics,
  ...pages: readonly (readonly MetricFamily[])[]
): Promise<string[]> {
  const parts = pages.map((families, index) => ({ worker: String(index + 1), families }));
  const { text } = await merged.page(parts);
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('MergedMetrics', () => {
  it('sums counters, gauges and every bucket of a histogram over workers', async () => {
    const histogram = (count: number) =>
      family('dbbouncer_seconds', 'histogram', [
        { metricName: 'dbbouncer_seconds_bucket', labels: { le: 1 }, value: count },
        { metricName: 'dbbouncer_seconds_sum', labels: {}, value: count / 2 },
      ]);
    const page = (n: number) => [
      queries('acme', n),
      family('dbbouncer_clients', 'gauge', n),
      histogram(n),
    ];
    assert.deepEqual(await lines(new MergedMetrics(systemClock), page(2), page(5)), [
      'dbbouncer_queries_total{tenant="acme"} 7',
      'dbbouncer_clients 7',
      'dbbouncer_seconds_bucket{le="1"} 7',
      'dbbouncer_seconds_sum 3.5',
    ]);
  });

  it('takes the greatest or the least where a metric says so', async () => {
    const page = (n: number) => [
      family('dbbouncer_longest', 'gauge', n, 'max'),
      family('dbbouncer_position', 'gauge', n, 'min'),
    ];
    assert.deepEqual(await lines(new MergedMetrics(systemClock), page(2), page(5), page(3)), [
      'dbbouncer_longest 5',
      'dbbouncer_position 2',
    ]);
  });

  it('labels what Node says of each process, and merges none of it', async () => {
    const page = (n: number) => [family('process_cpu_seconds_total', 'counter', n)];
    assert.deepEqual(await lines(new MergedMetrics(systemClock), page(2), page(5)), [
      'process_cpu_seconds_total{worker="1"} 2',
      'process_cpu_seconds_total{worker="2"} 5',
    ]);
  });

  it('never lets a counter fall when workers end, and forgets their gauges', async () => {
    const merged = new MergedMetrics(systemClock);
    const page = (n: number) => [queries('acme', n), family('dbbouncer_clients', 'gauge', n)];
    await lines(merged, page(100), page(10));
    merged.ended({ worker: '1', families: page(100) });
    assert.deepEqual(await lines(merged, page(1), page(10)), [
      'dbbouncer_queries_total{tenant="acme"} 111',
      'dbbouncer_clients 11',
    ]);
    merged.ended({ worker: '1', families: page(5) });
    assert.deepEqual(await lines(merged, page(0), page(10)), [
      'dbbouncer_queries_total{tenant="acme"} 115',
      'dbbouncer_clients 10',
    ]);
  });

  it('carries what was counted of a tenant no worker knows for 10 minutes, no longer', async () => {
    let nowMs = 0;
    const merged = new MergedMetrics({ ...systemClock, nowMs: () => nowMs });
    merged.ended({ worker: '1', families: [queries('gone', 7), queries('acme', 3)] });
    nowMs = 600_000;
    assert.deepEqual(await lines(merged, [queries('acme', 1)]), [
      'dbbouncer_queries_total{tenant="acme"} 4',
      'dbbouncer_queries_total{tenant="gone"} 7',
    ]);
    nowMs += 1;
    const later = await lines(merged, [queries('acme', 1)]);
    assert.deepEqual(later, ['dbbouncer_queries_total{tenant="acme"} 4']);
    assert.deepEqual(await lines(merged, [queries('acme', 1), queries('gone', 1)]), [
      'dbbouncer_queries_total{tenant="acme"} 4',
      'dbbouncer_queries_total{tenant="gone"} 1',
    ]);
  });
});
