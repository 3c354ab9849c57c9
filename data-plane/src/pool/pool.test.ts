/** What clients and servers of one pool see, on a manual clock. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InvariantViolation } from '@dbbouncer/shared/kernel/assert.ts';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import { settings } from '../../../tests/pool/scripted-upstream.ts';
import { followPromises } from '../../../tests/support/manual-clock.ts';

describe('Pool: leasing', () => {
  it('opens nothing before the first client asks, whatever the minimum', async () => {
    const rig = new PoolRig({ settings: { minConnections: 3 } });
    rig.pool.sweep();
    await rig.clock.pass(60_000);
    assert.equal(rig.pool.take(), undefined);
    assert.equal(rig.upstream.occupied, 0);
  });

  it('dials for a waiter and grants it the new backend', async () => {
    const rig = new PoolRig();
    const waiter = rig.wait();
    assert.equal(rig.pool.stats().dialing, 1);
    await rig.after(() => rig.upstream.acceptAll());
    assert.equal(waiter.backend, rig.upstream.backends[0]);
    assert.equal(rig.pool.stats().active, 1);
  });

  it('takes the backend given back last', async () => {
    const rig = new PoolRig();
    const [first, second] = await rig.lease(2);
    assert.ok(first && second);
    rig.pool.release(second, 'clean');
    rig.pool.release(first, 'clean');
    assert.equal(rig.pool.take(), first);
    assert.equal(rig.pool.take(), second);
    assert.equal(rig.pool.take(), undefined);
  });

  it('hands a released backend to the longest waiter, within the release', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    const longest = rig.wait();
    const newcomer = rig.wait();
    rig.pool.release(backend, 'clean');
    assert.equal(longest.backend, backend);
    assert.equal(newcomer.timesTold, 0);
  });

  it('lets no newcomer take an idle backend while somebody is in line for it', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    rig.pool.release(backend, 'clean');
    const waiter = rig.wait();
    assert.equal(waiter.timesTold, 0, 'never answered from within wait()');
    assert.equal(rig.pool.take(), undefined);
    await followPromises();
    assert.equal(waiter.backend, backend);
  });

  it('serves 200 clients on 5 backends in order of arrival', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 5 } });
    const order: number[] = [];
    const waiters = Array.from({ length: 200 }, (_, client) => rig.wait(() => order.push(client)));
    while (order.length < 200) {
      const held = waiters.filter(({ backend }) => backend !== undefined);
      rig.upstream.acceptAll();
      await followPromises();
      for (const waiter of held) {
        if (waiter.backend !== undefined) rig.pool.release(waiter.backend, 'clean');
        waiter.backend = undefined;
      }
    }
    assert.deepEqual(
      order,
      Array.from({ length: 200 }, (_, client) => client),
    );
    assert.equal(rig.upstream.backends.length, 5);
  });

  it('serves 20,000 clients that give back at once without growing the stack', async () => {
    const rig = new PoolRig({
      settings: { maxConnections: 1 },
      limits: { waitersMax: 20_000, dialsMax: 1 },
    });
    let served = 0;
    for (let client = 0; client < 20_000; client += 1) {
      rig.wait((backend) => {
        served += 1;
        rig.pool.release(backend, 'clean');
      });
    }
    await rig.after(() => rig.upstream.acceptAll());
    assert.equal(served, 20_000);
    assert.equal(rig.pool.stats().idle, 1);
  });

  it('tells a cancelled waiter nothing and serves the next', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1 } });
    const gone = rig.wait();
    const next = rig.wait();
    rig.pool.cancelWait(gone);
    await rig.after(() => rig.upstream.acceptAll());
    assert.equal(gone.timesTold, 0);
    assert.equal(next.backend, rig.upstream.backends[0]);
  });

  it('keeps a client that throws while it is served from harming the releasing one', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    rig.wait(() => {
      throw new Error('defect of a session');
    });
    rig.pool.release(backend, 'clean');
    assert.equal(backend.closeReason, 'suspect_state');
    assert.equal(rig.pool.stats().active, 0);
  });

  it('refuses the same backend given back twice', async () => {
    const rig = new PoolRig();
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    rig.pool.release(backend, 'clean');
    assert.throws(() => rig.pool.release(backend, 'clean'), InvariantViolation);
    assert.throws(() => rig.pool.discard(backend, 'client_gone'), InvariantViolation);
  });
});

describe('Pool: limits', () => {
  it('runs at most 8 dials at a time when dialsMax is 8', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 20 } });
    for (let client = 0; client < 20; client += 1) rig.wait();
    assert.equal(rig.upstream.dials.length, 8);
    await rig.after(() => rig.upstream.dials[0]?.succeed());
    assert.equal(rig.upstream.dials.length, 8);
    assert.equal(rig.pool.stats().total, 9);
  });

  it('does not dial for waiters that running resets will serve', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 5 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    rig.pool.release(backend, 'dirty');
    const waiter = rig.wait();
    assert.equal(rig.upstream.dials.length, 0);
    await rig.after(() => backend.endReset('done'));
    assert.equal(waiter.backend, backend);
  });

  it('counts a closing backend until the server has closed', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    const waiter = rig.wait();
    rig.pool.discard(backend, 'protocol_error');
    assert.equal(rig.upstream.dials.length, 0);
    backend.serverCloses();
    assert.equal(rig.upstream.dials.length, 1);
    await rig.after(() => rig.upstream.acceptAll());
    assert.equal(waiter.backend, rig.upstream.backends[1]);
  });

  it('refuses the 101st waiter when waitersMax is 100, later than the call', async () => {
    const rig = new PoolRig({ limits: { waitersMax: 100, dialsMax: 8 } });
    for (let client = 0; client < 100; client += 1) rig.wait();
    const refused = rig.wait();
    assert.equal(refused.timesTold, 0);
    await followPromises();
    assert.equal(refused.error?.code, 'POOL_QUEUE_FULL');
    assert.equal(
      refused.error.message,
      'tenant "acme": 100 clients are in line for a server connection, and 100 are the most ' +
        'that may be',
    );
    assert.equal(rig.pool.stats().waiting, 100);
  });

  it('names tenant, limit and setting when acquire_timeout ends a wait', async () => {
    const rig = new PoolRig({ settings: { acquireTimeoutMs: 10_000 } });
    await rig.lease(5);
    const waiter = rig.wait();
    await rig.clock.pass(9_999);
    assert.equal(waiter.timesTold, 0);
    await rig.clock.pass(1);
    assert.equal(waiter.error?.code, 'POOL_ACQUIRE_TIMEOUT');
    assert.equal(
      waiter.error.message,
      'tenant "acme": no server connection became free within acquire_timeout (10000 ms); ' +
        'all 5 of max_connections are in use',
    );
    assert.match(waiter.error.hint ?? '', /max_connections/);
    assert.equal(rig.pool.stats().counters.exhausted, 1);
  });

  it('refuses all whose deadline is the same moment', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1, acquireTimeoutMs: 1_000 } });
    const waiters = [rig.wait(), rig.wait(), rig.wait()];
    await rig.clock.pass(1_000);
    assert.deepEqual(
      waiters.map(({ error }) => error?.code),
      Array.from({ length: 3 }, () => 'POOL_ACQUIRE_TIMEOUT'),
    );
    assert.equal(rig.clock.pendingTimers, 0);
  });

  it('says so when the wait ended because the server was slow to accept', async () => {
    const rig = new PoolRig({ settings: { acquireTimeoutMs: 500 } });
    const waiter = rig.wait();
    await rig.clock.pass(500);
    assert.match(waiter.error?.message ?? '', /1 of max_connections \(5\).*1 of them still conn/);
    assert.match(waiter.error?.hint ?? '', /database server/);
  });

  it('keeps one timer however many wait', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1 } });
    for (let client = 0; client < 50; client += 1) {
      rig.wait();
      await rig.clock.pass(1);
    }
    assert.equal(rig.clock.pendingTimers, 1);
  });

  it('applies a shorter acquire_timeout to those in line', async () => {
    const rig = new PoolRig({ settings: { acquireTimeoutMs: 10_000 } });
    const waiter = rig.wait();
    await rig.clock.pass(1_000);
    rig.pool.resize(settings({ acquireTimeoutMs: 2_000 }));
    await rig.clock.pass(1_000);
    assert.equal(waiter.error?.code, 'POOL_ACQUIRE_TIMEOUT');
  });

  it('closes surplus backends after a lower maximum: idle now, leased when returned', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 5 } });
    const [kept, late, ...idle] = await rig.lease(5);
    assert.ok(kept && late);
    for (const backend of idle) rig.pool.release(backend, 'clean');
    rig.pool.resize(settings({ maxConnections: 1 }));
    assert.deepEqual(
      idle.map(({ closeReason }) => closeReason),
      ['over_limit', 'over_limit', 'over_limit'],
    );
    const waiter = rig.wait();
    rig.upstream.followCloses();
    assert.equal(rig.upstream.dials.length, 0, 'still above the maximum');
    rig.pool.release(late, 'dirty');
    assert.equal(late.closeReason, 'over_limit');
    rig.pool.release(kept, 'clean');
    assert.equal(waiter.backend, kept);
  });

  it('dials for those in line at once when the maximum is raised', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1 } });
    await rig.lease(1);
    rig.wait();
    rig.pool.resize(settings({ maxConnections: 2 }));
    assert.equal(rig.upstream.dials.length, 1);
  });
});

describe('Pool: server connections end', () => {
  it('closes idle backends above the minimum after idle_timeout, longest idle first', async () => {
    const rig = new PoolRig({ settings: { minConnections: 1, idleTimeoutMs: 1_000 } });
    const backends = await rig.lease(3);
    for (const backend of backends) {
      rig.pool.release(backend, 'clean');
      await rig.clock.pass(10);
    }
    await rig.clock.pass(969);
    rig.pool.sweep();
    assert.equal(rig.pool.stats().closing, 0);
    await rig.clock.pass(100);
    rig.pool.sweep();
    assert.deepEqual(
      backends.map(({ closeReason }) => closeReason),
      ['idle_timeout', 'idle_timeout', undefined],
    );
    rig.upstream.followCloses();
    assert.equal(rig.pool.stats().total, 1);
  });

  it('keeps the minimum from the first client on', async () => {
    const rig = new PoolRig({ settings: { minConnections: 3 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    rig.pool.sweep();
    assert.equal(rig.pool.stats().total, 3);
    await rig.after(() => rig.upstream.acceptAll());
    rig.pool.discard(backend, 'client_gone');
    rig.upstream.followCloses();
    rig.pool.sweep();
    assert.deepEqual([rig.pool.stats().idle, rig.pool.stats().dialing], [2, 1]);
  });

  it('closes a backend past max_lifetime when it is returned, though somebody waits', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1, maxLifetimeMs: 5_000 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    await rig.clock.pass(5_000);
    const waiter = rig.wait();
    rig.pool.release(backend, 'clean');
    assert.equal(backend.closeReason, 'max_lifetime');
    rig.upstream.followCloses();
    await rig.after(() => rig.upstream.acceptAll());
    assert.equal(waiter.backend?.id, 2);
  });

  it('closes idle backends past max_lifetime on a sweep, the minimum included', async () => {
    const rig = new PoolRig({
      settings: { minConnections: 1, maxLifetimeMs: 5_000, idleTimeoutMs: 0 },
    });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    rig.pool.release(backend, 'clean');
    await rig.clock.pass(5_000);
    rig.pool.sweep();
    assert.equal(backend.closeReason, 'max_lifetime');
    assert.equal(rig.pool.stats().dialing, 1, 'its successor is on the way');
  });

  it('replaces a backend that could not be reset', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    const waiter = rig.wait();
    rig.pool.release(backend, 'dirty');
    assert.equal(rig.pool.stats().resetting, 1);
    await rig.after(() => backend.endReset('failed'));
    assert.equal(backend.closeReason, 'reset_failed');
    rig.upstream.followCloses();
    await rig.after(() => rig.upstream.acceptAll());
    assert.equal(waiter.backend?.id, 2);
  });

  it('frees the slot of a backend whose server closed, whatever it was doing', async () => {
    const rig = new PoolRig();
    const [idle, leased, resetting] = await rig.lease(3);
    assert.ok(idle && leased && resetting);
    rig.pool.release(idle, 'clean');
    rig.pool.release(resetting, 'dirty');
    for (const backend of [idle, leased, resetting]) backend.serverCloses();
    await rig.after(() => resetting.endReset('failed'));
    assert.equal(rig.pool.stats().total, 0);
    assert.equal(rig.pool.stats().counters.closes.server_gone, 3);
    rig.pool.discard(leased, 'server_gone');
    assert.throws(() => rig.pool.discard(leased, 'server_gone'), InvariantViolation);
  });
});
