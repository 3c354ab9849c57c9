/** Waiting for proxies: who is waited for, for how long, and what is told about those that lag. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { followPromises, ManualClock } from '../../../tests/support/manual-clock.ts';
import { APPLIED_WAIT_LIMITS, AppliedWaits } from './applied-waits.ts';
import type { Applied } from './applied-waits.ts';
import { FLEET_LIMITS, FleetState } from './fleet-state.ts';

let clock: ManualClock;
let fleet: FleetState;
let waits: AppliedWaits;
beforeEach(() => {
  clock = new ManualClock();
  fleet = new FleetState(() => clock.nowMs());
  waits = new AppliedWaits(fleet, clock);
});

function report(proxy: string, appliedPosition: number, fields: Partial<ProxyReport> = {}): void {
  const at = clock.timestamp();
  fleet.receive({
    proxy: proxy as ProxyId,
    version: 'test',
    startedAt: at,
    sentAt: at,
    epoch: 1,
    appliedPosition,
    clients: 0,
    pools: [],
    ...fields,
  });
}

/** What a wait has come to so far. */
function watch(position: number, timeoutMs = 5_000): { readonly applied: () => Applied | 'waits' } {
  const place = waits.take();
  assert.ok(place !== undefined);
  let come: Applied | 'waits' = 'waits';
  const waiting = async () => {
    come = await place.until(position, timeoutMs);
    place.leave();
  };
  void waiting();
  return { applied: () => come };
}

const inForce = (proxies: number, lost: readonly string[] = []) => ({ proxies, lagging: [], lost });

describe('AppliedWaits', () => {
  it('answers at once when every live proxy is there, or none lives', async () => {
    const none = watch(7);
    await followPromises();
    assert.deepEqual(none.applied(), inForce(0));
    report('p-1', 7);
    report('p-2', 9);
    const both = watch(7);
    await followPromises();
    assert.deepEqual(both.applied(), inForce(2));
    assert.equal(clock.pendingTimers, 0);
  });

  it('answers with the report of the last proxy, each wait at its own position', async () => {
    report('p-1', 5);
    report('p-2', 5);
    const seven = watch(7);
    const nine = watch(9);
    report('p-1', 9);
    report('p-2', 8);
    await followPromises();
    assert.deepEqual([seven.applied(), nine.applied()], [inForce(2), 'waits']);
    report('p-2', 9);
    await followPromises();
    assert.deepEqual(nine.applied(), inForce(2));
    assert.deepEqual([clock.pendingTimers, waits.places], [0, 0]);
  });

  it('says after the timeout who lags: rejected with its reason, silent, or behind', async () => {
    for (const proxy of ['p-1', 'p-2', 'p-3', 'p-4']) report(proxy, 5);
    await clock.pass(1);
    const wait = watch(6, 500);
    report('p-1', 6);
    report('p-2', 5, { rejected: { position: 6, reason: 'delta has an unknown form' } });
    report('p-3', 5);
    await clock.pass(499);
    assert.equal(wait.applied(), 'waits');
    await clock.pass(1);
    const lagging = [
      ['p-2', 'rejected', 'delta has an unknown form'],
      ['p-3', 'behind', undefined],
      ['p-4', 'no_report', undefined],
    ].map(([proxy, reason, detail]) => ({ proxy, reason, detail, appliedPosition: 5 }));
    assert.deepEqual(wait.applied(), { proxies: 1, lagging, lost: [] });
  });

  it('waits no longer for a proxy that falls silent, and names it', async () => {
    report('p-1', 5);
    const wait = watch(6, 60_000);
    await clock.pass(FLEET_LIMITS.lostAfterMs - 1_000);
    assert.equal(wait.applied(), 'waits');
    await clock.pass(1_000);
    assert.deepEqual(wait.applied(), inForce(0, ['p-1']));
    assert.equal(clock.pendingTimers, 0);
  });

  it('has 1,000 places, and no more until one is given back', () => {
    const { waitsMax } = APPLIED_WAIT_LIMITS;
    const places = Array.from({ length: waitsMax }, () => waits.take());
    assert.equal(waits.take(), undefined);
    places[0]?.leave();
    places[0]?.leave();
    assert.equal(waits.places, waitsMax - 1);
    assert.notEqual(waits.take(), undefined);
    assert.equal(waits.take(), undefined);
  });
});
