/** Who gets how much of a tenant: properties over random demand, with proxies that obey at once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { KEEP_UNNEEDED_MS } from './decide.ts';
import { configOf, ObedientFleet, sum } from './testing.ts';
import type { ObedientProxy } from './testing.ts';

const T = 'acme';
/** More than all that has to go by until figures rest: parts grow 10 s after the last joiner. */
const SETTLED_MS = 12_000;

interface Demand {
  readonly max: number;
  readonly wants: readonly number[];
}

const demand: fc.Arbitrary<Demand> = fc.record({
  max: fc.integer({ min: 1, max: 20 }),
  wants: fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }),
});
/** Which proxy wants how much from then on, and how long that lasts. */
const moods = fc.array(
  fc.record({ who: fc.nat(5), wanted: fc.nat(12), ms: fc.constantFrom(0, 25, 300, 2_000) }),
  { maxLength: 20 },
);

function fleetOf(max: number, proxies: number): ObedientFleet {
  const fleet = new ObedientFleet([T], { config: configOf({ [T]: max }), proxies });
  fleet.pass(SETTLED_MS);
  return fleet;
}

function wantAll(fleet: ObedientFleet, wants: readonly number[]): void {
  for (const [i, proxy] of fleet.proxies.entries()) fleet.want(proxy, T, wants[i] ?? 0);
}

describe('dealing out one tenant', () => {
  it('is never above max_connections, whatever is wanted when', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), moods, (max, changes) => {
        const fleet = fleetOf(max, 5);
        for (const { who, wanted, ms } of changes) {
          const proxy = fleet.proxies[who];
          if (proxy !== undefined) fleet.want(proxy, T, wanted);
          fleet.pass(ms);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('meets all demand that fits, at once; one slot stays with each who wants none', () => {
    fc.assert(
      fc.property(demand, ({ max, wants }) => {
        const fleet = fleetOf(max, wants.length);
        const idle = wants.filter((wanted) => wanted === 0).length;
        const kept = wants.length > 1 ? Math.max(idle, 1) : 0;
        fc.pre(sum(wants) <= max - (max > 1 ? kept : 0));
        wantAll(fleet, wants);
        for (const [i, cap] of fleet.caps(T).entries()) {
          assert.ok(cap >= (wants[i] ?? 0), `caps ${fleet.caps(T).join()} for ${wants.join()}`);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('leaves nobody more than one below another where all want more than there is', () => {
    fc.assert(
      fc.property(demand, ({ max, wants }) => {
        fc.pre(wants.length > 1 && max >= wants.length);
        const fleet = fleetOf(max, wants.length);
        wantAll(
          fleet,
          wants.map(() => max),
        );
        fleet.pass(1_000);
        const caps = fleet.caps(T);
        assert.equal(sum(caps), max);
        assert.ok(Math.max(...caps) - Math.min(...caps) <= 1, caps.join());
      }),
      { numRuns: 30 },
    );
  });

  it('leaves each that wants nothing one slot of its part, whatever others want', () => {
    fc.assert(
      fc.property(demand, ({ max, wants }) => {
        fc.pre(wants.length > 1 && max >= wants.length);
        const fleet = fleetOf(max, wants.length);
        wantAll(fleet, [max, ...wants.slice(1).map(() => 0)]);
        fleet.pass(1_000);
        const caps = fleet.caps(T);
        assert.ok(
          caps.slice(1).every((cap) => cap >= 1),
          caps.join(),
        );
        assert.equal(caps[0], max - (wants.length - 1));
      }),
      { numRuns: 30 },
    );
  });

  it('goes back to even parts 5 s after nobody wants anything, and then rests', () => {
    fc.assert(
      fc.property(demand, ({ max, wants }) => {
        const fleet = fleetOf(max, wants.length);
        wantAll(fleet, wants);
        fleet.pass(2_000);
        wantAll(fleet, []);
        fleet.pass(KEEP_UNNEEDED_MS + 2_500);
        const part = Math.floor(max / wants.length);
        assert.deepEqual(
          fleet.caps(T),
          wants.map(() => part),
        );
        assert.deepEqual(figuresIn(fleet, 5_000), []);
      }),
      { numRuns: 30 },
    );
  });

  it('moves nothing while what is wanted stays and everybody has a slot', () => {
    fc.assert(
      fc.property(demand, ({ max, wants }) => {
        const claimants = wants.filter((wanted) => wanted > 0).length;
        const idle = wants.length - claimants;
        fc.pre(max >= claimants + idle + 1);
        const fleet = fleetOf(max, wants.length);
        wantAll(fleet, wants);
        fleet.pass(KEEP_UNNEEDED_MS + 2_500);
        assert.deepEqual(figuresIn(fleet, 10_000), []);
      }),
      { numRuns: 30 },
    );
  });

  it('takes nothing from anybody for one more slot where one is free', () => {
    const fleet = fleetOf(20, 4);
    wantAll(fleet, [6, 2, 2, 2]);
    fleet.pass(KEEP_UNNEEDED_MS + 2_500);
    const before = fleet.caps(T);
    const one = fleet.proxies[1] as ObedientProxy;
    fleet.grants.length = 0;
    fleet.want(one, T, 6);
    const told = fleet.grants.filter(({ tenants }) => tenants.length > 0);
    assert.ok(one.cap(T) >= 6, `before ${before.join()}, after ${fleet.caps(T).join()}`);
    assert.ok(told.length <= 3, `${told.length} grants`);
  });

  it('is the same for the same messages at the same times', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), moods, (max, changes) => {
        const [one, other] = [1, 2].map(() => {
          const fleet = fleetOf(max, 4);
          for (const { who, wanted, ms } of changes) {
            const proxy = fleet.proxies[who];
            if (proxy !== undefined) fleet.want(proxy, T, wanted);
            fleet.pass(ms);
          }
          return fleet.grants;
        });
        assert.deepEqual(one, other);
      }),
      { numRuns: 10 },
    );
  });

  it('serves each of 40 proxies that want one of 5 slots within 3 s, again and again', () => {
    const fleet = new ObedientFleet([T], { config: configOf({ [T]: 5 }), proxies: 40 });
    fleet.pass(2_000);
    for (const proxy of fleet.proxies) proxy.wanted.set(T, 1);
    for (const proxy of fleet.proxies) fleet.hear(proxy);
    const served = fleet.proxies.map(() => ({ lastMs: fleet.nowMs, longestMs: 0, times: 0 }));
    for (let ms = 0; ms < 20_000; ms += 25) {
      fleet.pass(25);
      for (const [i, proxy] of fleet.proxies.entries()) {
        const one = served[i];
        if (one === undefined || proxy.cap(T) === 0) continue;
        one.longestMs = Math.max(one.longestMs, fleet.nowMs - one.lastMs);
        one.lastMs = fleet.nowMs;
        one.times += 1;
      }
    }
    for (const { longestMs, lastMs } of served) {
      assert.ok(Math.max(longestMs, fleet.nowMs - lastMs) <= 3_000, `waited ${longestMs} ms`);
    }
    const times = served.map((one) => one.times);
    assert.ok(Math.min(...times) >= 0.6 * Math.max(...times), times.join());
  });
});

describe('a tenant that is removed while a proxy is stopped with connections of it', () => {
  it('gives nobody its part at once when it comes back: the others had all of it', () => {
    const fleet = fleetOf(12, 4);
    const [stopped, ...others] = fleet.proxies as [ObedientProxy, ...ObedientProxy[]];
    fleet.want(stopped, T, 12);
    fleet.pass(1_000);
    assert.equal(stopped.cap(T), 9);
    stopped.stuck.set(T, 9);
    // It is not heard any more; the others hear that the tenant is gone, and hold on to nothing.
    fleet.proxies.splice(0, 1);
    fleet.config = configOf({}, {}, 2);
    fleet.allocator.configChanged(fleet.config, [T], 'named');
    for (const proxy of others) {
      proxy.position = 2;
      proxy.figures.set(T, { floor: 0, limit: 0 });
    }
    fleet.pass(3_000);
    for (const proxy of others) assert.deepEqual(proxy.figures.get(T), { floor: 0, limit: 0 });
    fleet.config = configOf({ [T]: 12 }, {}, 3);
    fleet.allocator.configChanged(fleet.config, [T], 'named');
    for (const proxy of others) proxy.position = 3;
    assert.deepEqual(fleet.caps(T), [0, 0, 0]);
    fleet.want(others[0] as ObedientProxy, T, 12);
    fleet.pass(2_000);
    assert.ok(sum(fleet.caps(T)) <= 12 - 9, fleet.caps(T).join());
  });
});

/** Grants with figures of tenants within the next `ms`. */
function figuresIn(fleet: ObedientFleet, ms: number): readonly unknown[] {
  fleet.grants.length = 0;
  fleet.pass(ms);
  return fleet.grants.filter(({ tenants, released }) => tenants.length + released.length > 0);
}
