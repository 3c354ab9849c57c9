/** Medians and percentiles of measurements. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { percentile, spreadOf } from './statistics.ts';

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
