/** A pool whose tenant is paused, resumed or drained, on a manual clock. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import { settings } from '../../../tests/pool/scripted-upstream.ts';

const SETTINGS = { maxConnections: 2, acquireTimeoutMs: 1_000, pauseWaitTimeoutMs: 60_000 };

describe('a paused pool', () => {
  it('closes idle backends now and leased ones when they are given back', async () => {
    const rig = new PoolRig({ settings: SETTINGS });
    const [held, idle] = await rig.lease(2);
    assert.ok(held && idle);
    rig.pool.release(idle, 'clean');
    rig.pool.direct('paused');
    assert.deepEqual([idle.closeReason, held.closeReason], ['paused', undefined]);
    rig.pool.release(held, 'clean');
    assert.equal(held.closeReason, 'paused');
    await rig.after(() => rig.upstream.followCloses());
    assert.equal(rig.pool.stats().total, 0);
  });

  it('dials for nobody, not even for its minimum, and keeps everybody in line', async () => {
    const rig = new PoolRig({ settings: { ...SETTINGS, minConnections: 2 } });
    await rig.lease(1);
    rig.pool.direct('paused');
    const waiter = rig.wait();
    await rig.clock.pass(30_000);
    rig.pool.sweep();
    assert.deepEqual([rig.upstream.dials.length, waiter.timesTold], [0, 0]);
    assert.equal(rig.pool.take(), undefined);
  });

  it('closes the backend of a dial that was under way', async () => {
    const rig = new PoolRig({ settings: SETTINGS });
    const waiter = rig.wait();
    rig.pool.direct('paused');
    await rig.after(() => rig.upstream.acceptAll());
    assert.equal(rig.upstream.backends[0]?.closeReason, 'paused');
    assert.equal(waiter.timesTold, 0);
  });

  it('serves who waits at once when it is resumed, the longest first', async () => {
    const rig = new PoolRig({ settings: { ...SETTINGS, maxConnections: 1 } });
    rig.pool.direct('paused');
    const [first, second] = [rig.wait(), rig.wait()];
    rig.pool.direct('active');
    await rig.after(() => rig.upstream.acceptAll());
    assert.ok(first.backend !== undefined);
    assert.equal(second.timesTold, 0);
  });

  it('tells who waits after pause_wait_timeout, counted from the pause', async () => {
    const rig = new PoolRig({ settings: SETTINGS });
    await rig.lease(2);
    const waiter = rig.wait();
    await rig.clock.pass(900);
    rig.pool.direct('paused');
    await rig.clock.pass(59_999);
    assert.equal(waiter.timesTold, 0);
    await rig.clock.pass(1);
    assert.equal(waiter.error?.code, 'TENANT_PAUSED');
    assert.match(waiter.error.message, /pause_wait_timeout \(60000 ms\)/);
  });

  it('gives who waited through a pause the whole acquire_timeout afterwards', async () => {
    const rig = new PoolRig({ settings: SETTINGS });
    rig.pool.direct('paused');
    const waiter = rig.wait();
    await rig.clock.pass(30_000);
    rig.pool.direct('active');
    await rig.clock.pass(999);
    assert.equal(waiter.timesTold, 0);
    await rig.clock.pass(1);
    assert.equal(waiter.error?.code, 'POOL_ACQUIRE_TIMEOUT');
  });

  it('shortens the wait of those in line when pause_wait_timeout is lowered', async () => {
    const rig = new PoolRig({ settings: SETTINGS });
    rig.pool.direct('paused');
    const waiter = rig.wait();
    await rig.clock.pass(5_000);
    rig.pool.resize(settings({ ...SETTINGS, pauseWaitTimeoutMs: 6_000 }));
    await rig.clock.pass(1_000);
    assert.equal(waiter.error?.code, 'TENANT_PAUSED');
  });

  it('refuses nobody for a server that could not be reached before', async () => {
    const rig = new PoolRig({ settings: SETTINGS });
    const before = rig.wait();
    await rig.after(() => rig.upstream.dials[0]?.fail());
    assert.equal(before.error?.code, 'UPSTREAM_REFUSED');
    rig.pool.direct('paused');
    const waiter = rig.wait();
    await rig.clock.pass(20);
    assert.equal(waiter.timesTold, 0);
  });

  it('counts the wait of a moved client from the pause, not from its arrival', async () => {
    const rig = new PoolRig({ settings: SETTINGS });
    const waiter = rig.wait();
    await rig.clock.pass(500);
    rig.pool.direct('paused');
    await rig.after(() => void rig.pool.drain('pool_drained'));
    assert.equal(waiter.movedSinceMs, 500);
  });

  it('tells who keeps a backend to give it up, then and later', async () => {
    const rig = new PoolRig({ settings: { ...SETTINGS, maxConnections: 5 } });
    const [early, late] = await rig.lease(2);
    assert.ok(early && late);
    const told: string[] = [];
    const keeper = { giveUp: (reason: string) => void told.push(reason) };
    rig.pool.keep(early, keeper);
    await rig.after(() => rig.pool.direct('paused'));
    assert.deepEqual(told, ['paused']);
    await rig.after(() => void rig.pool.keep(late, { giveUp: () => told.push('late') }));
    assert.deepEqual(told, ['paused', 'paused', 'late']);
  });
});

describe('a draining pool', () => {
  it('serves who is in line, then closes everything whatever its minimum', async () => {
    const rig = new PoolRig({ settings: { ...SETTINGS, maxConnections: 1, minConnections: 1 } });
    const [held] = await rig.lease(1);
    assert.ok(held);
    const waiter = rig.wait();
    rig.pool.direct('draining');
    rig.pool.release(held, 'clean');
    assert.equal(waiter.backend, held);
    rig.pool.release(held, 'clean');
    assert.equal(held.closeReason, 'pool_drained');
    await rig.after(() => rig.upstream.followCloses());
    rig.pool.sweep();
    assert.deepEqual([rig.pool.stats().total, rig.upstream.dials.length], [0, 0]);
  });

  it('opens its minimum again when it is resumed', async () => {
    const rig = new PoolRig({ settings: { ...SETTINGS, minConnections: 2 } });
    const held = await rig.lease(2);
    for (const backend of held) rig.pool.release(backend, 'clean');
    rig.pool.direct('draining');
    await rig.after(() => rig.upstream.followCloses());
    assert.equal(rig.pool.stats().total, 0);
    rig.pool.direct('active');
    assert.equal(rig.pool.stats().dialing, 2);
  });
});
