/** Goals: figures made of outcomes, and whether they pass. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Outcome } from './comparison.ts';
import {
  alone,
  lessThanTheirs,
  moreThanTheirs,
  shareOfGain,
  shareOfTheirs,
  value,
  verdictOf,
} from './goals.ts';

function outcome(median: number, counts: Outcome['counts'] = {}): Outcome {
  return {
    contender: 'x',
    side: 'ours',
    value: { median, min: median, max: median },
    turns: 1,
    cpuUsPerWork: NaN,
    serverConnections: 0,
    usualConnections: 0,
    p50Ms: NaN,
    p95Ms: NaN,
    p99Ms: NaN,
    maxMs: NaN,
    counts,
    failure: undefined,
  };
}

describe('a figure', () => {
  const outcomes = { ours: outcome(30), best: outcome(20) };

  it('is 1.5 where ours is half as much again, or theirs as long again', () => {
    assert.equal(moreThanTheirs('tps', value, {}).measure(outcomes), 1.5);
    const swapped = { ours: outcome(20), best: outcome(30) };
    assert.equal(lessThanTheirs('p99', value, {}).measure(swapped), 1.5);
    assert.equal(shareOfTheirs('connections', value, {}).measure(outcomes), 1.5);
    assert.equal(alone('at most', 'bytes', value, {}).measure(outcomes), 30);
  });

  it('is the part of the gain beyond 1 that is left: 1.8 of 2 is 0.8', () => {
    const goal = shareOfGain('gain', ({ counts }) => counts['alike'] ?? NaN, value, {});
    const ours = outcome(18, { alike: 20 });
    const best = outcome(10, { alike: 10 });
    assert.ok(Math.abs(goal.measure({ ours, best }) - 0.8) < 1e-9);
    const without = outcome(18, { alike: 10 });
    assert.ok(Number.isNaN(goal.measure({ ours: without, best })));
  });

  it('is not told when one of both failed', () => {
    assert.ok(
      Number.isNaN(moreThanTheirs('tps', value, {}).measure({ ...outcomes, best: undefined })),
    );
    assert.ok(
      Number.isNaN(alone('at most', 'ms', value, {}).measure({ ...outcomes, ours: undefined })),
    );
  });
});

describe('a goal', () => {
  const atLeast = { title: '', is: 'at least', bar: 1.2, dream: 1.6 } as const;
  const atMost = { title: '', is: 'at most', bar: 6_000, dream: 3_000 } as const;

  it('is reached at its bar and dreamt of no more at its dream', () => {
    assert.deepEqual(
      [1.19, 1.2, 1.59, 1.6, NaN].map((figure) => verdictOf(atLeast, figure)),
      ['missed', 'reached', 'reached', 'dream reached', 'unknown'],
    );
    assert.deepEqual(
      [6_001, 6_000, 3_001, 3_000].map((figure) => verdictOf(atMost, figure)),
      ['missed', 'reached', 'reached', 'dream reached'],
    );
  });

  it('without a bar misses its dream alone, and without both is only told', () => {
    assert.equal(verdictOf({ title: '', is: 'at least', dream: 1 }, 0.9), 'dream missed');
    assert.equal(verdictOf({ title: '', is: 'at least' }, 0.9), 'told');
  });
});
