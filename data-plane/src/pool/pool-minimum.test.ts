/** Which connections are opened although nobody waits for them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import { refusal } from '../../../tests/pool/scripted-upstream.ts';
import { WARM_UP_MS } from './limits.ts';

describe('Pool: warming', () => {
  it('opens a minimum of 3 at once, before any client', async () => {
    const rig = new PoolRig({ settings: { minConnections: 3 } });
    rig.pool.warm();
    assert.equal(rig.upstream.dials.length, 3);
    await rig.after(() => rig.upstream.acceptAll());
    assert.ok(rig.pool.take() !== undefined, 'the first client waits for nobody');
  });

  it('opens as many as the pool before it had in use, above its minimum', async () => {
    const rig = new PoolRig({ settings: { minConnections: 1, maxConnections: 5 } });
    rig.pool.warm(4);
    assert.equal(rig.upstream.dials.length, 4);
  });

  it('opens no more than the limit has room for', () => {
    const rig = new PoolRig({ settings: { maxConnections: 2 } });
    rig.pool.warm(50);
    assert.equal(rig.upstream.dials.length, 2);
  });

  it(`tries for ${WARM_UP_MS} ms what the old pool needed, then only for the minimum`, async () => {
    const rig = new PoolRig({ settings: { minConnections: 1 } });
    rig.pool.warm(3);
    await rig.after(() => {
      for (const dial of Array.from(rig.upstream.dials)) dial.fail(refusal('starting up'));
    });
    await rig.clock.pass(WARM_UP_MS);
    rig.pool.sweep();
    await rig.after(() => rig.upstream.acceptAll());
    rig.pool.sweep();
    assert.equal(rig.pool.stats().total, 1);
    assert.equal(rig.upstream.dials.length, 0);
  });

  it('says that a pool in use has clients and leases, and an empty one nothing', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 2 } });
    assert.equal(rig.pool.busy, undefined);
    const [backend] = await rig.lease(2);
    rig.wait();
    assert.equal(rig.pool.busy, 3);
    assert.ok(backend);
    rig.pool.release(backend, 'clean');
    assert.equal(rig.pool.busy, 2);
  });

  it('keeps a prewarmed minimum that its server closes, without a client', async () => {
    const rig = new PoolRig({ settings: { minConnections: 2, prewarm: 'on' } });
    rig.pool.warm();
    await rig.after(() => rig.upstream.acceptAll());
    await rig.after(() => rig.upstream.backends[0]?.serverCloses());
    rig.pool.sweep();
    assert.equal(rig.upstream.dials.length, 1);
  });
});
