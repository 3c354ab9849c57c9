/** Which connections are looked at; what is found on them is tested against a real server. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LeakDetectorMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { LeakDetector } from './leak-detector.ts';

function detector(mode: () => LeakDetectorMode): LeakDetector {
  return new LeakDetector({
    mode,
    onLeak: () => {},
    onInspected: () => {},
    limitMs: () => 1_000,
    clock: systemClock,
    log: silentLogger,
  });
}

function taken(leaks: LeakDetector, count: number): readonly number[] {
  const all = Array.from({ length: count }, (_, index) => ({ index, takes: leaks.takesNext() }));
  return all.filter(({ takes }) => takes).map(({ index }) => index);
}

describe('LeakDetector', () => {
  it('takes the 1st, the 101st and the 201st of 250 connections as a sample', () => {
    assert.deepEqual(
      taken(
        detector(() => 'sample'),
        250,
      ),
      [0, 100, 200],
    );
  });

  it('takes all or none, as its mode is when it is asked', () => {
    let mode: LeakDetectorMode = 'all';
    const leaks = detector(() => mode);
    assert.deepEqual(taken(leaks, 3), [0, 1, 2]);
    mode = 'off';
    assert.deepEqual(taken(leaks, 3), []);
    assert.equal(leaks.isOn, false);
  });
});
