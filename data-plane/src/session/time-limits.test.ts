/** When limits of time are met, and what looking for it costs. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { Router } from '../routing/router.ts';
import { someConfig, someTenant } from '../routing/testing.ts';
import { SessionRegistry } from './session.ts';
import type { Session } from './session.ts';
import { Stopwatch, TimeLimits } from './time-limits.ts';
import type { Activity, Timed } from './time-limits.ts';

class FakeTimed implements Timed {
  readonly stopwatch = new Stopwatch();
  readonly #clock: ManualClock;
  readonly met: string[] = [];
  looks = 0;
  turnMark = 0;
  transactionMark = 0;
  deliveryMark: number | undefined;
  #activity: Activity = 'idle';

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  get activity(): Activity {
    this.looks++;
    return this.#activity;
  }

  set activity(activity: Activity) {
    this.#activity = activity;
  }

  expired(limit: string, limitMs: number): void {
    this.met.push(`${limit} of ${limitMs} at ${this.#clock.nowMs()}`);
  }
}

function rig(pool: PoolOverrides) {
  const clock = new ManualClock();
  const router = new Router(silentLogger);
  router.replace(someConfig([someTenant('acme', { pool }), someTenant('free')]));
  const registry = new SessionRegistry();
  const limits = new TimeLimits({ registry, router, clock });
  const begin = (tenantKey: string): FakeTimed => {
    const timed = new FakeTimed(clock);
    const session: Session = {
      state: 'idle',
      tenantKey,
      access: undefined,
      client: undefined,
      timed,
      endWhenIdle: () => {},
      stay: () => {},
      kill: () => {},
      hindranceUnder: () => undefined,
    };
    registry.add(session);
    limits.expect(tenantKey);
    return timed;
  };
  return { clock, limits, begin };
}

/** When the first limit was met, in ms. */
function metAt({ met }: FakeTimed): number {
  return Number(/ at (\d+)$/.exec(met[0] ?? '')?.[1] ?? Infinity);
}

describe('TimeLimits', () => {
  it('meets a limit never early, and late by a tenth, 50 ms or a second, twice over', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 60_000 }),
        fc.integer({ min: 0, max: 5_000 }),
        async (limitMs, sinceMs) => {
          const { clock, begin } = rig({ clientIdleTimeoutMs: limitMs });
          const timed = begin('acme');
          await clock.pass(sinceMs);
          timed.turnMark = 1;
          timed.met.length = 0;
          const lookMs = Math.max(50, Math.min(1_000, limitMs / 10));
          await clock.pass(limitMs + 2 * lookMs + 1);
          const spentMs = metAt(timed) - sinceMs;
          assert.ok(spentMs >= limitMs, `${spentMs} ms is early`);
          assert.ok(spentMs <= limitMs + 2 * lookMs + 1, `${spentMs} ms is late`);
        },
      ),
      { numRuns: 40 },
    ));

  it('begins anew with each turn, and at each change of what goes on', async () => {
    const { clock, begin } = rig({ clientIdleTimeoutMs: 1_000, queryTimeoutMs: 1_000 });
    const timed = begin('acme');
    for (let turn = 0; turn < 10; turn++) {
      timed.activity = turn % 2 === 0 ? 'idle' : 'query';
      timed.turnMark = turn;
      await clock.pass(800);
    }
    timed.activity = 'untimed';
    await clock.pass(5_000);
    assert.deepEqual(timed.met, []);
    timed.activity = 'query';
    await clock.pass(1_200);
    assert.deepEqual(timed.met, ['query of 1000 at 14100']);
  });

  it('gives a cancelled statement cancel_wait_timeout to end, from the cancel on', async () => {
    const { clock, begin } = rig({ queryTimeoutMs: 1_000, cancelWaitTimeoutMs: 3_000 });
    const timed = begin('acme');
    timed.activity = 'query';
    await clock.pass(4_150);
    assert.deepEqual(timed.met, ['query of 1000 at 1100', 'cancel_wait of 3000 at 4100']);
  });

  it('looks at nobody whose tenant has no limit, and has one timer for all', async () => {
    const { clock, limits, begin } = rig({ clientIdleTimeoutMs: 1_000 });
    const timed = Array.from({ length: 100 }, (_, i) => begin(i % 2 === 0 ? 'acme' : 'free'));
    assert.equal(clock.pendingTimers, 1);
    await clock.pass(900);
    const looks = new Set(timed.map((one) => one.looks));
    assert.deepEqual([...looks], [9, 0]);
    limits.stop();
    assert.equal(clock.pendingTimers, 0);
  });

  it('looks at each tenant as often as its own limits need', async () => {
    const { clock, begin } = rig({ clientIdleTimeoutMs: 60_000 });
    const slow = begin('acme');
    await clock.pass(10_000);
    assert.equal(slow.looks, 10);
  });

  it('has what came during a standstill of the process read before it looks', async () => {
    const { clock, begin } = rig({ clientIdleTimeoutMs: 1_000 });
    const timed = begin('acme');
    await clock.pass(500);
    clock.stall(2_000);
    await clock.pass(5);
    assert.deepEqual(timed.met, []);
    timed.turnMark = 1;
    await clock.pass(900);
    assert.deepEqual(timed.met, []);
    await clock.pass(200);
    assert.equal(timed.met.length, 1);
  });
});
