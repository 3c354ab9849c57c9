/** Max-min fair shares, for any claims and any number of slots. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fairShares, TURN_MS } from './fair-shares.ts';
import type { Claim } from './fair-shares.ts';

const NOW_MS = 10_000;

const claim: fc.Arbitrary<Claim> = fc.record({
  wanted: fc.nat(20),
  has: fc.nat(20),
  turnBeganMs: fc.nat(NOW_MS),
  turnEndedMs: fc.nat(NOW_MS),
});
const claims = fc.array(claim, { maxLength: 12 });
const slots = fc.nat(60);

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

describe('fair shares', () => {
  it('are never more than there is, nor more than is wanted', () => {
    fc.assert(
      fc.property(claims, slots, (all, some) => {
        const shares = fairShares(all, some, NOW_MS);
        assert.equal(shares.length, all.length);
        assert.ok(sum(shares) <= some, `${sum(shares)} of ${some}`);
        for (const [i, share] of shares.entries()) {
          assert.ok(share >= 0 && share <= (all[i]?.wanted ?? 0));
        }
      }),
    );
  });

  it('leave nothing over that somebody wants', () => {
    fc.assert(
      fc.property(claims, slots, (all, some) => {
        const wanted = sum(all.map((one) => one.wanted));
        assert.equal(sum(fairShares(all, some, NOW_MS)), Math.min(wanted, some));
      }),
    );
  });

  it('give nobody more by two than somebody who wants more than he got', () => {
    fc.assert(
      fc.property(claims, slots, (all, some) => {
        const shares = fairShares(all, some, NOW_MS);
        for (const [i, share] of shares.entries()) {
          if (share === all[i]?.wanted) continue;
          for (const other of shares) assert.ok(other <= share + 1, `${other} beside ${share}`);
        }
      }),
    );
  });

  it('are the same for the same claims, in whatever order these stand', () => {
    const apart = fc.uniqueArray(claim, { maxLength: 8, selector: (one) => one.turnEndedMs });
    fc.assert(
      fc.property(apart, slots, (all, some) => {
        const forth = fairShares(all, some, NOW_MS);
        const back = fairShares(all.toReversed(), some, NOW_MS).toReversed();
        assert.deepEqual(back, forth);
      }),
    );
  });

  it('stay as they are while what is wanted does: nobody is moved where each has one', () => {
    fc.assert(
      fc.property(claims, slots, (all, some) => {
        const before = fairShares(all, some, NOW_MS);
        const holding = all.map((one, i) => ({ ...one, has: before[i] ?? 0, turnBeganMs: NOW_MS }));
        assert.deepEqual(fairShares(holding, some, NOW_MS + TURN_MS - 1), before);
      }),
    );
  });

  it('give each of 40 who want one of 5 slots a turn within 8 turns, again and again', () => {
    const all = Array.from({ length: 40 }, () => ({
      wanted: 1,
      has: 0,
      turnBeganMs: 0,
      turnEndedMs: 0,
      served: [] as number[],
    }));
    for (let turn = 0; turn < 80; turn++) {
      const nowMs = (turn + 1) * TURN_MS;
      for (const [i, share] of fairShares(all, 5, nowMs).entries()) {
        const one = all[i];
        if (one === undefined) continue;
        if (share > 0) one.served.push(turn);
        if (share > 0 && one.has === 0) one.turnBeganMs = nowMs;
        if (share === 0 && one.has > 0) one.turnEndedMs = nowMs;
        one.has = share;
      }
    }
    for (const { served } of all) assert.equal(served.length, 10, `served in ${served.join()}`);
    for (const { served } of all) {
      const gaps = served.map((turn, i) => turn - (served[i - 1] ?? -1));
      assert.ok(Math.max(...gaps) <= 8, `served in ${served.join()}`);
    }
  });
});
