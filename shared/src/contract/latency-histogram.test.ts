/** Percentiles of what several proxies have counted, against the durations themselves. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LATENCY_BUCKETS, latencyBucket, MergedLatencies } from './latency-histogram.ts';

/** As a proxy tells it. */
function counted(seconds: readonly number[]): number[] {
  const counts = new Map<number, number>();
  for (const one of seconds) {
    const bucket = latencyBucket(one);
    counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
  }
  return [...counts].toSorted(([a], [b]) => a - b).flat();
}

const durations = fc.array(fc.double({ min: 0, max: 250, noNaN: true }), { minLength: 1 });

describe('latencyBucket', () => {
  it('never falls as durations rise, and has a bucket for every duration there is', () => {
    let before = 0;
    for (let seconds = 0.000_001; seconds < 1_000; seconds *= 1.01) {
      const bucket = latencyBucket(seconds);
      assert.ok(bucket === before || bucket === before + 1 || seconds < 0.000_2, `${seconds} s`);
      assert.ok(bucket >= before && bucket < LATENCY_BUCKETS);
      before = bucket;
    }
    assert.equal(before, LATENCY_BUCKETS - 1);
    assert.equal(latencyBucket(Number.POSITIVE_INFINITY), LATENCY_BUCKETS - 1);
    assert.deepEqual([latencyBucket(0), latencyBucket(0.000_016)], [0, 1]);
  });
});

describe('MergedLatencies', () => {
  it('gives percentiles of all proxies together, wrong by 12.5 % or 16 µs at most', () => {
    fc.assert(
      fc.property(durations, durations, fc.constantFrom(0.5, 0.95, 0.99, 1), (a, b, share) => {
        const merged = new MergedLatencies();
        merged.add(counted(a));
        merged.add(counted(b));
        const sorted = [...a, ...b].toSorted((x, y) => x - y);
        const exactMs = (sorted[Math.ceil(share * sorted.length) - 1] ?? 0) * 1_000;
        const readMs = merged.percentileMs(share) ?? Number.NaN;
        assert.ok(Math.abs(readMs - exactMs) <= exactMs * 0.125 + 0.0161, `${readMs} ${exactMs}`);
      }),
    );
  });

  it('reads the slow proxy in the p99 of both, which no average of theirs would show', () => {
    const merged = new MergedLatencies();
    merged.add(counted(Array.from({ length: 990 }, () => 0.001)));
    merged.add(counted(Array.from({ length: 20 }, () => 1)));
    const p50Ms = merged.percentileMs(0.5) ?? 0;
    const p99Ms = merged.percentileMs(0.99) ?? 0;
    assert.ok(Math.abs(p50Ms - 1) < 0.13 && Math.abs(p99Ms - 1_000) < 125, `${p50Ms} ${p99Ms}`);
  });

  it('says nothing of nothing, and counts buckets it does not know as the longest', () => {
    const merged = new MergedLatencies();
    assert.equal(merged.percentileMs(0.99), undefined);
    merged.add([10_000, 3]);
    assert.equal(merged.total, 3);
    assert.ok((merged.percentileMs(0.5) ?? 0) > 250_000);
  });
});
