/** What a client in line is told after query_wait_notify. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import { refusal } from '../../../tests/pool/scripted-upstream.ts';

const NOTIFY = { maxConnections: 1, queryWaitNotifyMs: 300, acquireTimeoutMs: 2_000 } as const;

describe('Pool: query_wait_notify', () => {
  it('tells each client in line once, 300 ms after its own arrival', async () => {
    const rig = new PoolRig({ settings: NOTIFY });
    await rig.lease(1);
    const early = rig.wait();
    await rig.clock.pass(100);
    const late = rig.wait();
    const told = () => [early.notices.length, late.notices.length];
    await rig.clock.pass(199);
    assert.deepEqual(told(), [0, 0]);
    await rig.clock.pass(1);
    assert.deepEqual(told(), [1, 0]);
    await rig.clock.pass(100);
    assert.deepEqual(told(), [1, 1]);
    await rig.clock.pass(1_000);
    assert.deepEqual(told(), [1, 1]);
    assert.deepEqual([early.timesTold, late.timesTold], [0, 0], 'they are still in line');
  });

  it('tells nobody who is served before, and nobody at all at 0', async () => {
    for (const queryWaitNotifyMs of [300, 0]) {
      const rig = new PoolRig({ settings: { ...NOTIFY, queryWaitNotifyMs } });
      const [backend] = await rig.lease(1);
      const waiter = rig.wait();
      await rig.clock.pass(299);
      assert.ok(backend);
      if (queryWaitNotifyMs > 0) rig.pool.release(backend, 'clean');
      await rig.clock.pass(1_000);
      assert.equal(waiter.notices.length, 0);
    }
  });

  it('names the limit with its numbers, how many are in line and when the wait ends', async () => {
    const rig = new PoolRig({ settings: NOTIFY });
    await rig.lease(1);
    const waiter = rig.wait();
    rig.wait();
    await rig.clock.pass(300);
    const [notice] = waiter.notices;
    assert.equal(notice?.reason, 'pool_full');
    assert.match(notice.message, /tenant "acme": no server connection for 300 ms, still waiting/);
    assert.match(notice.message, /all 1 of max_connections are in use/);
    assert.match(notice.detail, /2 clients are in line/);
    assert.match(notice.hint, /acquire_timeout \(2000 ms\)/);
  });

  it("passes on the database's own words while it refuses the login", async () => {
    const rig = new PoolRig({ settings: { ...NOTIFY, maxConnections: 2 } });
    await rig.lease(1);
    const waiter = rig.wait();
    await rig.after(() => rig.upstream.dials[0]?.fail(refusal('the database is starting up')));
    await rig.clock.pass(300);
    assert.equal(waiter.notices[0]?.reason, 'login_failing');
    assert.match(waiter.notices[0].detail, /failed: the database is starting up/);
  });

  it('says that the tenant is paused, and names pause_wait_timeout', async () => {
    const rig = new PoolRig({ settings: NOTIFY });
    rig.pool.direct('paused');
    const waiter = rig.wait();
    await rig.clock.pass(300);
    assert.equal(waiter.notices[0]?.reason, 'paused');
    assert.match(waiter.notices[0].hint, /pause_wait_timeout/);
  });

  it('tells the others though one of them fails at it', async () => {
    const rig = new PoolRig({ settings: NOTIFY });
    await rig.lease(1);
    const broken = rig.wait();
    Object.assign(broken, {
      stillWaiting: () => {
        throw new Error('defect of a session');
      },
    });
    const next = rig.wait();
    await rig.clock.pass(300);
    assert.equal(next.notices.length, 1);
  });
});
