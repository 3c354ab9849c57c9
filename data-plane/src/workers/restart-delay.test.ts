/** When the next worker starts in the place of those that keep ending. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RESTART_DELAYS, RestartDelay } from './restart-delay.ts';

describe('RestartDelay', () => {
  it('is 0 after the first end, then 500 ms, doubled each time up to 30 s', () => {
    const delay = new RestartDelay();
    const delays = Array.from({ length: 10 }, () => delay.after(100));
    const expected = [0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000];
    assert.deepEqual(delays, expected);
    assert.equal(delay.shortLives, 10);
  });

  it('begins anew after a worker that lived 60 s, not after one of 1 ms less', () => {
    const delay = new RestartDelay();
    for (let end = 0; end < 5; end += 1) delay.after(0);
    assert.equal(delay.after(RESTART_DELAYS.longLifeMs - 1), 8_000);
    assert.equal(delay.after(RESTART_DELAYS.longLifeMs), 0);
    assert.deepEqual([delay.after(0), delay.after(0)], [0, 500]);
  });
});
