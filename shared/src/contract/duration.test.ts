/** Durations: what is one, what is not, and that writing and reading are inverse. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { DURATION_MS_MAX, formatDuration, parseDurationMs } from './duration.ts';

describe('parseDurationMs', () => {
  it('reads units, sums of units and fractions', () => {
    const cases: readonly (readonly [string, number])[] = [
      ['0', 0],
      ['0s', 0],
      ['500ms', 500],
      ['5m', 300_000],
      ['1h30m', 5_400_000],
      ['1.5h', 5_400_000],
      ['0.5ms', 1],
      ['2d', 172_800_000],
    ];
    for (const [text, ms] of cases) assert.equal(parseDurationMs(text), ms, text);
  });

  it('refuses what has no unit, an unknown unit, a sign or blanks', () => {
    for (const text of [
      '',
      '5',
      '-5s',
      '5 m',
      ' 5m',
      '5y',
      'm',
      '1h30',
      'ms',
      '1e3s',
      '.5s',
      '٣s',
    ]) {
      assert.equal(parseDurationMs(text), undefined, text);
    }
  });
});

describe('formatDuration', () => {
  it('reads back as the same milliseconds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: DURATION_MS_MAX }), (ms) => {
        assert.equal(parseDurationMs(formatDuration(ms)), ms);
      }),
    );
  });

  it('writes the largest units first and leaves out what is zero', () => {
    assert.equal(formatDuration(0), '0s');
    assert.equal(formatDuration(5_400_000), '1h30m');
    assert.equal(formatDuration(60_000), '1m');
    assert.equal(formatDuration(1_500), '1s500ms');
  });
});
