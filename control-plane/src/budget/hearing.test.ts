/** What of a proxy's messages is taken for true, and when. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { BUDGET_LIMITS } from '@dbbouncer/shared/contract/budget.ts';
import type { BudgetGrant } from '@dbbouncer/shared/contract/budget.ts';
import type { Entry } from './entry.ts';
import { configOf, ObedientFleet } from './testing.ts';
import type { ObedientProxy } from './testing.ts';

const T = 'acme';

let fleet: ObedientFleet;
let one: ObedientProxy;
let other: ObedientProxy;

beforeEach(() => {
  fleet = new ObedientFleet([T], { config: configOf({ [T]: 10 }), proxies: 2 });
  fleet.pass(12_000);
  [one, other] = fleet.proxies as [ObedientProxy, ObedientProxy];
});

function entryOf({ id }: ObedientProxy, key = T): Entry {
  const entry = fleet.allocator.books.proxies.get(id)?.entries.get(key);
  assert.ok(entry !== undefined, `nothing is known of ${key} on ${id}`);
  return entry;
}

describe('what a proxy tells', () => {
  it('is not heard when a newer message has overtaken it', () => {
    const overtaken = one.needs(fleet.nowMs);
    fleet.want(one, T, 7);
    assert.equal(entryOf(one).wanted, 7);
    fleet.allocator.needs(overtaken, fleet.nowMs);
    assert.equal(entryOf(one).wanted, 7);
  });

  it('says nothing of figures where a grant is obeyed that it does not know yet', () => {
    fleet.want(one, T, 8);
    const late = one.needs(fleet.nowMs);
    const before = entryOf(one).told;
    fleet.want(other, T, 5);
    fleet.pass(300);
    assert.ok(one.cap(T) < 8, 'something was taken from it');
    fleet.allocator.needs({ ...late, number: one.number + 1 }, fleet.nowMs);
    assert.notDeepEqual(entryOf(one).told, before);
    assert.ok(entryOf(one).liability < 8);
  });

  it('counts what is held above a limit until it is said to have closed', () => {
    fleet.want(one, T, 8);
    one.stuck.set(T, 8);
    fleet.want(other, T, 5);
    fleet.pass(1_000);
    assert.ok(one.cap(T) <= 5);
    assert.equal(entryOf(one).liability, 8);
    assert.equal(other.cap(T), 2, 'no more is free');
    one.stuck.delete(T);
    fleet.hear(one);
    assert.equal(other.cap(T), 5);
  });

  it('of an earlier life says nothing', () => {
    const before = one.needs(fleet.nowMs);
    one.life = 2;
    one.number = 0;
    fleet.hear(one);
    fleet.allocator.needs({ ...before, number: 1_000, share: null }, fleet.nowMs);
    assert.equal(fleet.allocator.books.proxies.get(one.id)?.life, 2);
  });
});

describe('an answer', () => {
  function grantUnderWay(): BudgetGrant {
    const { nowMs } = fleet;
    one.wanted.set(T, 8);
    fleet.allocator.needs(one.needs(nowMs), nowMs);
    const grant = fleet.allocator.step(nowMs).grants.find(({ tenants }) => tenants.length > 0);
    assert.ok(grant !== undefined);
    return grant;
  }

  it('to an older grant says nothing', () => {
    const grant = grantUnderWay();
    const { number } = grant;
    const before = entryOf(other).liability;
    fleet.allocator.grantAnswered(
      { ...grant, number: number - 1 },
      { outcome: 'obeyed', above: [], aboveOmitted: 0, lease: 'in_force' },
      fleet.nowMs,
    );
    assert.equal(entryOf(other).liability, before);
  });

  it('that names not all who hold too much frees nothing', () => {
    const grant = grantUnderWay();
    const entry = entryOf({ id: grant.proxy } as ObedientProxy);
    const before = entry.liability;
    fleet.allocator.grantAnswered(
      grant,
      { outcome: 'obeyed', above: [], aboveOmitted: 1, lease: 'in_force' },
      fleet.nowMs,
    );
    assert.equal(entry.liability, before);
    assert.ok(entry.planned !== undefined, 'it goes out again');
  });
});

describe('more tenants than one grant holds', () => {
  it('are not taken for obeyed with the next grant when the one that named them was lost', () => {
    const most = BUDGET_LIMITS.tenantsMax;
    const keys = Array.from({ length: most + 500 }, (_, n) => `t-${n}`);
    const limits = Object.fromEntries(keys.map((key) => [key, 10]));
    fleet = new ObedientFleet(keys, { config: configOf(limits), proxies: 2 });
    fleet.pass(12_000);
    [one, other] = fleet.proxies as [ObedientProxy, ObedientProxy];
    for (const key of keys) one.wanted.set(key, 7);
    const { allocator, nowMs } = fleet;
    const needs = one.needs(nowMs);
    const halves = [needs.tenants.slice(0, most), needs.tenants.slice(most)];
    for (const [i, tenants] of halves.entries()) {
      allocator.needs({ ...needs, number: needs.number + i, tenants }, nowMs);
    }
    const taken = new Map<string, number>();
    // Of the other proxy every second grant is lost, and its slots are then not free.
    for (let round = 0; round < 12; round += 1) {
      const atMs = nowMs + round;
      for (const grant of allocator.step(atMs).grants) {
        if (grant.proxy === one.id) {
          allocator.grantAnswered(grant, one.obey(grant), atMs);
        } else if (round % 2 === 0) allocator.grantAnswered(grant, 'no_answer', atMs);
        else {
          allocator.grantAnswered(grant, other.obey(grant), atMs);
          for (const { tenant, limit } of grant.tenants) taken.set(tenant, limit);
        }
        for (const key of keys) {
          const sum = one.cap(key) + other.cap(key);
          assert.ok(sum <= 10, `${sum} of ${key} in round ${round}`);
        }
      }
    }
    assert.ok(taken.size > 0);
    assert.equal(one.cap('t-0'), 7);
  });
});
