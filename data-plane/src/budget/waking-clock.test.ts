/** What a sleep of the machine, and a wall clock that is set, do to the clock of leases. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WakingTime } from './waking-clock.ts';

describe('the clock of leases', () => {
  it('goes on while the machine sleeps and the monotonic clock stands', () => {
    const time = new WakingTime();
    assert.equal(time.at(1_000, 50_000), 1_000);
    assert.equal(time.at(1_200, 50_200), 1_200);
    assert.equal(time.at(1_300, 80_300), 31_300);
    assert.equal(time.at(1_400, 80_400), 31_400);
  });

  it('does not go back with a wall clock that is set back by an hour', () => {
    const time = new WakingTime();
    time.at(1_000, 50_000_000);
    assert.equal(time.at(1_100, 46_400_100), 1_100);
    assert.equal(time.at(1_200, 46_400_200), 1_200);
  });

  it('does not count how two clocks part by 1 % as sleep', () => {
    const time = new WakingTime();
    let last = 0;
    for (let ms = 0; ms <= 600_000; ms += 1_000) last = time.at(ms, 1e12 + ms * 1.01);
    assert.equal(last, 600_000);
  });
});
