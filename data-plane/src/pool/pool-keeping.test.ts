/** Backends that the proxy keeps for itself: what they count for, and how their time ends. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import { settings } from '../../../tests/pool/scripted-upstream.ts';
import { followPromises } from '../../../tests/support/manual-clock.ts';
import type { CloseReason } from '../upstream/upstream.ts';
import { TenantCap } from './tenant-cap.ts';

/** Writes down why it was asked to give up. */
class RecordingKeeper {
  readonly reasons: CloseReason[] = [];
  giveUp(reason: CloseReason): void {
    this.reasons.push(reason);
  }
}

async function keepOne(rig: PoolRig) {
  const [backend] = await rig.lease(1);
  assert.ok(backend);
  const keeper = new RecordingKeeper();
  assert.equal(rig.pool.keep(backend, keeper), 'kept');
  return { backend, keeper };
}

describe('Pool: a kept backend', () => {
  it('occupies a slot of the tenant, is not leased, and serves nobody in line', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 2 } });
    await keepOne(rig);
    const { active, kept, total } = rig.pool.stats();
    assert.deepEqual({ active, kept, total }, { active: 0, kept: 1, total: 1 });
    await rig.lease(1);
    const waiter = rig.wait();
    assert.equal(rig.upstream.dials.length, 0, 'both slots are occupied');
    assert.equal(waiter.backend, undefined);
  });

  it('leaves the minimum to the clients', async () => {
    const rig = new PoolRig({ settings: { minConnections: 2, maxConnections: 5 } });
    await keepOne(rig);
    rig.pool.sweep();
    await rig.after(() => rig.upstream.acceptAll());
    const { idle, kept } = rig.pool.stats();
    assert.deepEqual({ idle, kept }, { idle: 2, kept: 1 });
  });

  it('is neither too long idle nor too old, while others are', async () => {
    const rig = new PoolRig({ settings: { idleTimeoutMs: 1_000, maxLifetimeMs: 2_000 } });
    const { backend } = await keepOne(rig);
    await rig.clock.pass(60_000);
    rig.pool.sweep();
    assert.equal(backend.closeReason, undefined);
  });

  it('frees its slot when it is discarded, for the client in line', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 2 } });
    const { backend } = await keepOne(rig);
    await rig.lease(1);
    const waiter = rig.wait();
    rig.pool.discard(backend, 'idle_timeout');
    assert.equal(rig.pool.stats().closing, 1);
    await rig.after(() => rig.upstream.followCloses());
    await rig.after(() => rig.upstream.acceptAll());
    assert.notEqual(waiter.backend, undefined);
    assert.equal(rig.pool.stats().kept, 0);
  });

  it('is discarded once more after its server has ended it, without harm', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 2 } });
    const { backend } = await keepOne(rig);
    await rig.after(() => backend.serverCloses());
    rig.pool.discard(backend, 'server_gone');
    assert.equal(rig.pool.stats().total, 0);
    const again = await keepOne(rig);
    assert.equal(again.backend.closeReason, undefined, 'keeping it has room again');
  });

  it('is refused where no slot would be left to clients, over all pools of a tenant', async () => {
    const cap = new TenantCap(2);
    const options = { cap, settings: { maxConnections: 2 } };
    const [first, second] = [new PoolRig(options), new PoolRig(options)];
    await keepOne(first);
    const [backend] = await second.lease(1);
    assert.ok(backend);
    assert.equal(second.pool.keep(backend, new RecordingKeeper()), 'no_room');
    second.pool.release(backend, 'clean');
    assert.equal(second.pool.stats().idle, 1);
  });

  it('is told when the pool drains, and holds the drain up until it is discarded', async () => {
    const rig = new PoolRig();
    const { backend, keeper } = await keepOne(rig);
    let drained = false;
    void rig.pool.drain('pool_drained').then(() => (drained = true));
    await followPromises();
    assert.deepEqual(keeper.reasons, ['pool_drained']);
    assert.equal(drained, false);
    rig.pool.discard(backend, 'pool_drained');
    await rig.after(() => rig.upstream.followCloses());
    assert.equal(drained, true);
  });

  it('is told when the limit is lowered to what is kept, and not before', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 5 } });
    const { keeper } = await keepOne(rig);
    rig.pool.resize(settings({ maxConnections: 2 }));
    await followPromises();
    assert.deepEqual(keeper.reasons, []);
    rig.pool.resize(settings({ maxConnections: 1 }));
    await followPromises();
    assert.deepEqual(keeper.reasons, ['over_limit']);
  });
});
