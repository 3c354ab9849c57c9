/** The reserve of a limit: for whom it is opened, and when it closes again. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { TenantCap } from './tenant-cap.ts';

const RESERVE = { maxConnections: 3, reserveConnections: 1, reserveTimeoutMs: 500 } as const;

describe('Pool: the reserve', () => {
  it('is opened for a client that has waited reserve_timeout of 500 ms, not before', async () => {
    const rig = new PoolRig({ settings: RESERVE });
    await rig.lease(2);
    const waiter = rig.wait();
    await rig.clock.pass(499);
    assert.equal(rig.upstream.dials.length, 0);
    await rig.clock.pass(1);
    assert.equal(rig.upstream.dials.length, 1);
    await rig.after(() => rig.upstream.acceptAll());
    assert.equal(waiter.backend, rig.upstream.backends[2]);
  });

  it('is a part of max_connections: 10 that wait long get 1 more connection, not 10', async () => {
    const rig = new PoolRig({ settings: RESERVE });
    await rig.lease(2);
    for (let client = 0; client < 10; client += 1) rig.wait();
    await rig.clock.pass(500);
    await rig.after(() => rig.upstream.acceptAll());
    assert.equal(rig.pool.stats().total, 3);
    assert.equal(rig.upstream.dials.length, 0);
  });

  it('is opened at once for a client that was moved here after it had waited as long', async () => {
    const rig = new PoolRig({ settings: { ...RESERVE, acquireTimeoutMs: 10_000 } });
    await rig.clock.pass(1_000);
    await rig.lease(2);
    const waiter = rig.wait();
    rig.pool.cancelWait(waiter);
    rig.pool.wait(waiter, 500);
    assert.equal(rig.upstream.dials.length, 1);
  });

  it('closes when nobody has used it for reserve_timeout, the rest stays', async () => {
    const rig = new PoolRig({ settings: { ...RESERVE, idleTimeoutMs: 0 } });
    const leased = await rig.lease(2);
    const waiter = rig.wait();
    await rig.clock.pass(500);
    await rig.after(() => rig.upstream.acceptAll());
    for (const backend of [...leased, waiter.backend]) {
      if (backend !== undefined) rig.pool.release(backend, 'clean');
    }
    await rig.clock.pass(499);
    rig.pool.sweep();
    assert.equal(rig.pool.stats().total, 3);
    await rig.clock.pass(1);
    rig.pool.sweep();
    rig.upstream.followCloses();
    assert.equal(rig.pool.stats().total, 2);
    assert.equal(rig.pool.stats().counters.closes.reserve_unused, 1);
  });

  it('is never opened for the minimum', async () => {
    const rig = new PoolRig({ settings: { ...RESERVE, minConnections: 2 } });
    rig.pool.warm(3);
    await rig.after(() => rig.upstream.acceptAll());
    await rig.clock.pass(5_000);
    rig.pool.sweep();
    assert.equal(rig.pool.stats().total, 2);
  });

  it('goes to the client that waits longest over all databases of the tenant', async () => {
    const clock = new ManualClock();
    const cap = new TenantCap(3, { connections: 1, timeoutMs: 500 });
    const pool = { clock, cap, settings: RESERVE };
    const one = new PoolRig({ ...pool, identity: { database: 'one' } });
    const other = new PoolRig({ ...pool, identity: { database: 'other' } });
    await one.lease(1);
    await other.lease(1);
    other.wait();
    await clock.pass(100);
    one.wait();
    await clock.pass(400);
    assert.deepEqual([one.upstream.dials.length, other.upstream.dials.length], [0, 1]);
  });

  it('is named, with its numbers, to a client whose wait ends before it is opened', async () => {
    const rig = new PoolRig({ settings: { ...RESERVE, acquireTimeoutMs: 200 } });
    await rig.lease(2);
    const waiter = rig.wait();
    await rig.clock.pass(200);
    assert.equal(waiter.error?.code, 'POOL_ACQUIRE_TIMEOUT');
    assert.match(waiter.error.message, /2 of max_connections \(3\) are in use/);
    assert.match(waiter.error.message, /reserve_connections \(1\).*reserve_timeout \(500 ms\)/);
  });
});
