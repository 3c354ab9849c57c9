/** What becomes of clients and servers when a pool is drained. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import { RecordingWaiter } from '../../../tests/pool/scripted-upstream.ts';
import { followPromises } from '../../../tests/support/manual-clock.ts';

describe('Pool: drain', () => {
  it('moves waiters, closes idle backends now and leased ones when given back', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 2 } });
    const [idle, leased] = await rig.lease(2);
    assert.ok(idle && leased);
    const waiter = rig.wait();
    await rig.clock.pass(70);
    rig.pool.release(idle, 'clean');
    assert.equal(waiter.backend, idle);
    const late = rig.wait();
    rig.pool.release(idle, 'dirty');
    let drained = false;
    void rig.pool.drain('pool_drained').then(() => (drained = true));
    assert.equal(late.timesTold, 0, 'told later than the call');
    await followPromises();
    assert.equal(late.movedSinceMs, 70);
    assert.equal(idle.closeReason, 'pool_drained');
    assert.equal(leased.closeReason, undefined);
    rig.pool.release(leased, 'clean');
    assert.equal(leased.closeReason, 'pool_drained');
    await followPromises();
    assert.equal(drained, false);
    await rig.after(() => rig.upstream.followCloses());
    assert.equal(drained, true);
  });

  it('aborts running dials and takes no error from them', async () => {
    const rig = new PoolRig();
    rig.wait();
    await rig.pool.drain('pool_drained');
    assert.equal(rig.upstream.occupied, 0);
    assert.equal(rig.pool.stats().failing, undefined);
    assert.equal(rig.pool.stats().counters.dialFailures, 0);
  });

  it('moves whoever asks later, and leases nothing', async () => {
    const rig = new PoolRig();
    await rig.pool.drain('pool_drained');
    await rig.clock.pass(5);
    assert.equal(rig.pool.take(), undefined);
    const waiter = rig.wait();
    await followPromises();
    assert.equal(waiter.movedSinceMs, 5);
    assert.equal(rig.upstream.dials.length, 0);
  });

  it('refuses waiters with SHUTTING_DOWN when there is nowhere to move to', async () => {
    const rig = new PoolRig();
    const waiter = rig.wait();
    await rig.pool.drain('shutdown');
    assert.equal(waiter.error?.code, 'SHUTTING_DOWN');
  });

  it('keeps the first reason and resolves both callers', async () => {
    const rig = new PoolRig();
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    const both = Promise.all([rig.pool.drain('pool_drained'), rig.pool.drain('shutdown')]);
    rig.pool.release(backend, 'clean');
    assert.equal(backend.closeReason, 'pool_drained');
    backend.serverCloses();
    await both;
  });

  it('gives a moved waiter its place before later arrivals, and its first deadline', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1, acquireTimeoutMs: 1_000 } });
    await rig.lease(1);
    await rig.clock.pass(400);
    const newcomer = rig.wait();
    const moved = new RecordingWaiter();
    rig.pool.wait(moved, 100);
    await rig.clock.pass(699);
    assert.equal(moved.timesTold, 0);
    await rig.clock.pass(1);
    assert.equal(moved.error?.code, 'POOL_ACQUIRE_TIMEOUT');
    assert.equal(newcomer.timesTold, 0);
  });
});
