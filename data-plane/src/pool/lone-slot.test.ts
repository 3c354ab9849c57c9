/** A slot without a pool, in line with the pools of its tenant. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import { followPromises, ManualClock } from '../../../tests/support/manual-clock.ts';
import { takeLoneSlot } from './lone-slot.ts';
import type { GiveBack } from './lone-slot.ts';
import { TenantCap } from './tenant-cap.ts';

function tenant(maxConnections: number) {
  const clock = new ManualClock();
  const cap = new TenantCap(maxConnections);
  const rig = new PoolRig({ clock, cap, settings: { maxConnections } });
  const abort = new AbortController();
  const options = { clock, limitMs: 1_000, signal: abort.signal };
  const taken: (GiveBack | undefined)[] = [];
  const take = () => void takeLoneSlot(cap, options).then((giveBack) => taken.push(giveBack));
  return { clock, cap, rig, abort, taken, take };
}

describe('a slot without a pool', () => {
  it('is occupied at once where there is room, and free again once it is given back', async () => {
    const { cap, taken, take } = tenant(2);
    take();
    await followPromises();
    assert.equal(cap.occupied, 1);
    taken[0]?.();
    taken[0]?.();
    assert.equal(cap.occupied, 0);
    assert.ok(!cap.isUnused, 'the pool is there');
  });

  it('waits behind the clients that came before it, and before those that came later', async () => {
    const { clock, cap, rig, taken, take } = tenant(1);
    const [held] = await rig.lease(1);
    assert.ok(held);
    const earlier = rig.wait();
    await clock.pass(5);
    take();
    await clock.pass(50);
    const later = rig.wait();
    rig.pool.release(held, 'clean');
    assert.equal(earlier.backend, held);
    rig.pool.release(held, 'clean');
    assert.equal(held.closeReason, 'evicted');
    await rig.after(() => rig.upstream.followCloses());
    assert.deepEqual([taken.length, later.backend, cap.occupied], [1, undefined, 1]);
    taken[0]?.();
    await rig.after(() => rig.upstream.acceptAll());
    assert.ok(later.backend !== undefined);
  });

  it('has the longest idle connection of a pool closed where there is no room', async () => {
    const { cap, rig, taken, take } = tenant(1);
    const [idle] = await rig.lease(1);
    assert.ok(idle);
    rig.pool.release(idle, 'clean');
    take();
    await followPromises();
    assert.deepEqual([idle.closeReason, taken.length, cap.occupied], ['evicted', 0, 1]);
    await rig.after(() => rig.upstream.followCloses());
    assert.deepEqual([taken.length, cap.occupied], [1, 1]);
  });

  it('is nothing after 1000 ms without room, or when it is not wanted any more', async () => {
    const { clock, cap, rig, abort, taken, take } = tenant(1);
    await rig.lease(1);
    take();
    await clock.pass(999);
    assert.deepEqual(taken, []);
    await clock.pass(1);
    assert.deepEqual(taken, [undefined]);
    take();
    abort.abort();
    await followPromises();
    assert.deepEqual([taken, cap.occupied], [[undefined, undefined], 1]);
    take();
    await followPromises();
    assert.deepEqual(taken, [undefined, undefined, undefined]);
  });
});
