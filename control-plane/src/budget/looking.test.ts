/** Who looks for what a lost proxy has left, when, and what follows from what was seen. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { LookAnswer } from '@dbbouncer/shared/contract/budget.ts';
import type { LookOrder } from './looking.ts';
import { LEASE_SURELY_OVER_MS } from './proxy-account.ts';
import { configOf, ObedientFleet } from './testing.ts';
import type { ObedientProxy } from './testing.ts';

const T = 'acme';
const LOST_AFTER_MS = 5_000;

let fleet: ObedientFleet;
let lost: ObedientProxy;
let live: ObedientProxy;
let saw: LookOrder[];

/** Two proxies; the first has 8 of 10 slots and is not heard any more. */
beforeEach(() => {
  fleet = new ObedientFleet([T], { config: configOf({ [T]: 10 }), proxies: 2 });
  fleet.pass(12_000);
  [lost, live] = fleet.proxies as [ObedientProxy, ObedientProxy];
  fleet.want(lost, T, 8);
  assert.equal(lost.cap(T), 8);
  lost.stuck.set(T, 8);
  fleet.proxies.splice(0, 1);
  live.wanted.set(T, 10);
  saw = [];
});

/** Lets `ms` go by while looks are answered. @returns when the first one was asked for */
function passLooking(ms: number, answer: (order: LookOrder) => LookAnswer): number | undefined {
  const beganMs = fleet.nowMs;
  let firstMs: number | undefined;
  while (fleet.nowMs < beganMs + ms) {
    fleet.pass(25);
    for (const look of fleet.looks.splice(0)) {
      firstMs ??= fleet.nowMs - beganMs;
      saw.push(look);
      fleet.allocator.lookAnswered(look.number, answer(look), fleet.nowMs);
    }
  }
  return firstMs;
}

const seen = (remaining: number): LookAnswer => ({ outcome: 'seen', remaining, ended: 0 });

describe('what a lost proxy has left', () => {
  it('is looked for by a live one, not before its lease is surely over', () => {
    const firstMs = passLooking(9_000, () => seen(8));
    const leastMs = Math.max(LOST_AFTER_MS, LEASE_SURELY_OVER_MS) - 1_000;
    assert.ok(firstMs !== undefined && firstMs >= leastMs, `after ${firstMs} ms`);
    assert.equal(saw[0]?.looker, live.id);
    assert.deepEqual(saw[0]?.request.left.proxy, lost.id);
    assert.equal(live.cap(T), 2, 'all that the lost one has counts');
  });

  it('may keep its floor, and what is beyond is ended and given to others', () => {
    passLooking(9_000, ({ request }) => seen(request.keep));
    const floor = saw[0]?.request.keep ?? 0;
    assert.ok(floor >= 1 && floor <= 5, `it keeps ${floor}`);
    assert.equal(saw[0]?.request.action, 'end_surplus');
    assert.equal(live.cap(T), 10 - floor);
  });

  it('counts by what was seen while it is not ended', () => {
    passLooking(9_000, () => seen(6));
    assert.equal(live.cap(T), 4);
  });

  it('is looked for again after 300 ms, 600 ms and so on, at last each 10 s', () => {
    const cannot: LookAnswer = { outcome: 'cannot', reason: 'not_permitted', message: 'no' };
    passLooking(60_000, () => cannot);
    assert.ok(saw.length >= 7 && saw.length <= 13, `${saw.length} looks in 60 s`);
    const { books, looking } = fleet.allocator;
    const entry = books.proxies.get(lost.id)?.entries.get(T);
    assert.ok(entry !== undefined);
    assert.deepEqual(looking.problemOf(entry), { reason: 'not_permitted', message: 'no' });
    assert.equal(live.cap(T), 2);
  });

  it('is free at once when an operator says that it is gone for good', () => {
    passLooking(9_000, () => seen(8));
    assert.equal(fleet.allocator.forget(lost.id, fleet.nowMs), 'forgotten');
    fleet.step();
    assert.equal(live.cap(T), 10);
  });
});
