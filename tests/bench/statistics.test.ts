/** Medians and percentiles of measurements. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { percentile, spreadOf, summaryOf } from './statistics.ts';

describe('spreadOf', () => {
  it('takes the middle one, or the mean of the middle two', () => {
    assert.deepEqual(spreadOf([9, 1, 5]), { median: 5, min: 1, max: 9 });
    assert.equal(spreadOf([4, 1, 2, 3]).median, 2.5);
    assert.deepEqual(spreadOf([7]), { median: 7, min: 7, max: 7 });
  });
});

describe('percentile', () => {
  it('is the smallest value at 0, the largest at 1, and between two by distance', () => {
    const values = [10, 20, 30, 40, 50];
    assert.deepEqual(
      [0, 0.25, 0.9, 1].map((share) => percentile(values, share)),
      [10, 20, 46, 50],
    );
  });
});

describe('summaryOf', () => {
  it('sorts by number and tells percentiles and the longest', () => {
    const times = [100, 9, 20, ...Array.from({ length: 98 }, () => 10)];
    assert.deepEqual(summaryOf(times), { p50Ms: 10, p95Ms: 10, p99Ms: 20, maxMs: 100 });
  });

  it('knows nothing of no times', () => {
    assert.ok(Number.isNaN(summaryOf([]).p50Ms));
    assert.ok(Number.isNaN(summaryOf([]).maxMs));
  });
});
