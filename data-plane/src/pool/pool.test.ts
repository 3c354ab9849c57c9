import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InvariantViolation } from '@dbbouncer/shared/kernel/assert.ts';
import { PoolBench } from '../../../tests/pool/pool-bench.ts';
import { RecordingWaiter, settings } from '../../../tests/pool/scripted-upstream.ts';
import { followPromises } from '../../../tests/support/manual-clock.ts';

describe('Pool: leasing', () => {
  it('opens nothing before the first client asks, whatever the minimum', async () => {
    const bench = new PoolBench({ settings: { minConnections: 3 } });
    bench.pool.sweep();
    await bench.clock.pass(60_000);
    assert.equal(bench.pool.take(), undefined);
    assert.equal(bench.upstream.occupied, 0);
  });

  it('dials for a waiter and grants it the new backend', async () => {
    const bench = new PoolBench();
    const waiter = bench.wait();
    assert.equal(bench.pool.stats().dialing, 1);
    await bench.after(() => bench.upstream.acceptAll());
    assert.equal(waiter.backend, bench.upstream.backends[0]);
    assert.equal(bench.pool.stats().active, 1);
  });

  it('takes the backend given back last', async () => {
    const bench = new PoolBench();
    const [first, second] = await bench.lease(2);
    assert.ok(first && second);
    bench.pool.release(second, 'clean');
    bench.pool.release(first, 'clean');
    assert.equal(bench.pool.take(), first);
    assert.equal(bench.pool.take(), second);
    assert.equal(bench.pool.take(), undefined);
  });

  it('hands a released backend to the longest waiter, within the release', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 1 } });
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    const longest = bench.wait();
    const newcomer = bench.wait();
    bench.pool.release(backend, 'clean');
    assert.equal(longest.backend, backend);
    assert.equal(newcomer.timesTold, 0);
  });

  it('lets no newcomer take an idle backend while somebody is in line for it', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 1 } });
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    bench.pool.release(backend, 'clean');
    const waiter = bench.wait();
    assert.equal(waiter.timesTold, 0, 'never answered from within wait()');
    assert.equal(bench.pool.take(), undefined);
    await followPromises();
    assert.equal(waiter.backend, backend);
  });

  it('serves 200 clients on 5 backends in order of arrival', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 5 } });
    const order: number[] = [];
    const waiters = Array.from({ length: 200 }, (_, client) =>
      bench.wait(() => order.push(client)),
    );
    while (order.length < 200) {
      const held = waiters.filter(({ backend }) => backend !== undefined);
      bench.upstream.acceptAll();
      await followPromises();
      for (const waiter of held) {
        if (waiter.backend !== undefined) bench.pool.release(waiter.backend, 'clean');
        waiter.backend = undefined;
      }
    }
    assert.deepEqual(
      order,
      Array.from({ length: 200 }, (_, client) => client),
    );
    assert.equal(bench.upstream.backends.length, 5);
  });

  it('serves 20,000 clients that give back at once without growing the stack', async () => {
    const bench = new PoolBench({
      settings: { maxConnections: 1 },
      limits: { waitersMax: 20_000, dialsMax: 1 },
    });
    let served = 0;
    for (let client = 0; client < 20_000; client += 1) {
      bench.wait((backend) => {
        served += 1;
        bench.pool.release(backend, 'clean');
      });
    }
    await bench.after(() => bench.upstream.acceptAll());
    assert.equal(served, 20_000);
    assert.equal(bench.pool.stats().idle, 1);
  });

  it('tells a cancelled waiter nothing and serves the next', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 1 } });
    const gone = bench.wait();
    const next = bench.wait();
    bench.pool.cancelWait(gone);
    await bench.after(() => bench.upstream.acceptAll());
    assert.equal(gone.timesTold, 0);
    assert.equal(next.backend, bench.upstream.backends[0]);
  });

  it('does not let a client that throws while it is served harm the one that released', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 1 } });
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    bench.wait(() => {
      throw new Error('defect of a session');
    });
    bench.pool.release(backend, 'clean');
    assert.equal(backend.closeReason, 'suspect_state');
    assert.equal(bench.pool.stats().active, 0);
  });

  it('refuses the same backend given back twice', async () => {
    const bench = new PoolBench();
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    bench.pool.release(backend, 'clean');
    assert.throws(() => bench.pool.release(backend, 'clean'), InvariantViolation);
    assert.throws(() => bench.pool.discard(backend, 'client_gone'), InvariantViolation);
  });
});

describe('Pool: limits', () => {
  it('runs at most 8 dials at a time when dialsMax is 8', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 20 } });
    for (let client = 0; client < 20; client += 1) bench.wait();
    assert.equal(bench.upstream.dials.length, 8);
    await bench.after(() => bench.upstream.dials[0]?.succeed());
    assert.equal(bench.upstream.dials.length, 8);
    assert.equal(bench.pool.stats().total, 9);
  });

  it('does not dial for waiters that running resets will serve', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 5 } });
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    bench.pool.release(backend, 'dirty');
    const waiter = bench.wait();
    assert.equal(bench.upstream.dials.length, 0);
    await bench.after(() => backend.endReset('done'));
    assert.equal(waiter.backend, backend);
  });

  it('counts a closing backend until the server has closed', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 1 } });
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    const waiter = bench.wait();
    bench.pool.discard(backend, 'protocol_error');
    assert.equal(bench.upstream.dials.length, 0);
    backend.serverCloses();
    assert.equal(bench.upstream.dials.length, 1);
    await bench.after(() => bench.upstream.acceptAll());
    assert.equal(waiter.backend, bench.upstream.backends[1]);
  });

  it('refuses the 101st waiter when waitersMax is 100, later than the call', async () => {
    const bench = new PoolBench({ limits: { waitersMax: 100, dialsMax: 8 } });
    for (let client = 0; client < 100; client += 1) bench.wait();
    const refused = bench.wait();
    assert.equal(refused.timesTold, 0);
    await followPromises();
    assert.equal(refused.error?.code, 'POOL_QUEUE_FULL');
    assert.equal(
      refused.error.message,
      'tenant "acme": 100 clients are in line for a server connection, and 100 are the most ' +
        'that may be',
    );
    assert.equal(bench.pool.stats().waiting, 100);
  });

  it('names tenant, limit and setting when acquire_timeout ends a wait', async () => {
    const bench = new PoolBench({ settings: { acquireTimeoutMs: 10_000 } });
    await bench.lease(5);
    const waiter = bench.wait();
    await bench.clock.pass(9_999);
    assert.equal(waiter.timesTold, 0);
    await bench.clock.pass(1);
    assert.equal(waiter.error?.code, 'POOL_ACQUIRE_TIMEOUT');
    assert.equal(
      waiter.error.message,
      'tenant "acme": no server connection became free within acquire_timeout (10000 ms); ' +
        'all 5 of max_connections are in use',
    );
    assert.match(waiter.error.hint ?? '', /max_connections/);
    assert.equal(bench.pool.stats().counters.exhausted, 1);
  });

  it('refuses all whose deadline is the same moment', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 1, acquireTimeoutMs: 1_000 } });
    const waiters = [bench.wait(), bench.wait(), bench.wait()];
    await bench.clock.pass(1_000);
    assert.deepEqual(
      waiters.map(({ error }) => error?.code),
      Array.from({ length: 3 }, () => 'POOL_ACQUIRE_TIMEOUT'),
    );
    assert.equal(bench.clock.pendingTimers, 0);
  });

  it('says so when the wait ended because the server was slow to accept', async () => {
    const bench = new PoolBench({ settings: { acquireTimeoutMs: 500 } });
    const waiter = bench.wait();
    await bench.clock.pass(500);
    assert.match(waiter.error?.message ?? '', /1 of max_connections \(5\).*1 of them still conn/);
    assert.match(waiter.error?.hint ?? '', /database server/);
  });

  it('keeps one timer however many wait', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 1 } });
    for (let client = 0; client < 50; client += 1) {
      bench.wait();
      await bench.clock.pass(1);
    }
    assert.equal(bench.clock.pendingTimers, 1);
  });

  it('applies a shorter acquire_timeout to those in line', async () => {
    const bench = new PoolBench({ settings: { acquireTimeoutMs: 10_000 } });
    const waiter = bench.wait();
    await bench.clock.pass(1_000);
    bench.pool.resize(settings({ acquireTimeoutMs: 2_000 }));
    await bench.clock.pass(1_000);
    assert.equal(waiter.error?.code, 'POOL_ACQUIRE_TIMEOUT');
  });

  it('closes surplus backends after the maximum was lowered: idle ones now, leased ones when given back', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 5 } });
    const [kept, late, ...idle] = await bench.lease(5);
    assert.ok(kept && late);
    for (const backend of idle) bench.pool.release(backend, 'clean');
    bench.pool.resize(settings({ maxConnections: 1 }));
    assert.deepEqual(
      idle.map(({ closeReason }) => closeReason),
      ['over_limit', 'over_limit', 'over_limit'],
    );
    const waiter = bench.wait();
    bench.upstream.followCloses();
    assert.equal(bench.upstream.dials.length, 0, 'still above the maximum');
    bench.pool.release(late, 'dirty');
    assert.equal(late.closeReason, 'over_limit');
    bench.pool.release(kept, 'clean');
    assert.equal(waiter.backend, kept);
  });

  it('dials for those in line at once when the maximum is raised', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 1 } });
    await bench.lease(1);
    bench.wait();
    bench.pool.resize(settings({ maxConnections: 2 }));
    assert.equal(bench.upstream.dials.length, 1);
  });
});

describe('Pool: server connections end', () => {
  it('closes idle backends above the minimum after idle_timeout, longest idle first', async () => {
    const bench = new PoolBench({ settings: { minConnections: 1, idleTimeoutMs: 1_000 } });
    const backends = await bench.lease(3);
    for (const backend of backends) {
      bench.pool.release(backend, 'clean');
      await bench.clock.pass(10);
    }
    await bench.clock.pass(969);
    bench.pool.sweep();
    assert.equal(bench.pool.stats().closing, 0);
    await bench.clock.pass(100);
    bench.pool.sweep();
    assert.deepEqual(
      backends.map(({ closeReason }) => closeReason),
      ['idle_timeout', 'idle_timeout', undefined],
    );
    bench.upstream.followCloses();
    assert.equal(bench.pool.stats().total, 1);
  });

  it('keeps the minimum from the first client on', async () => {
    const bench = new PoolBench({ settings: { minConnections: 3 } });
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    bench.pool.sweep();
    assert.equal(bench.pool.stats().total, 3);
    await bench.after(() => bench.upstream.acceptAll());
    bench.pool.discard(backend, 'client_gone');
    bench.upstream.followCloses();
    bench.pool.sweep();
    assert.deepEqual([bench.pool.stats().idle, bench.pool.stats().dialing], [2, 1]);
  });

  it('closes a backend past max_lifetime when it is given back, though somebody waits', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 1, maxLifetimeMs: 5_000 } });
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    await bench.clock.pass(5_000);
    const waiter = bench.wait();
    bench.pool.release(backend, 'clean');
    assert.equal(backend.closeReason, 'max_lifetime');
    bench.upstream.followCloses();
    await bench.after(() => bench.upstream.acceptAll());
    assert.equal(waiter.backend?.id, 2);
  });

  it('closes idle backends past max_lifetime on a sweep, the minimum included', async () => {
    const bench = new PoolBench({
      settings: { minConnections: 1, maxLifetimeMs: 5_000, idleTimeoutMs: 0 },
    });
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    bench.pool.release(backend, 'clean');
    await bench.clock.pass(5_000);
    bench.pool.sweep();
    assert.equal(backend.closeReason, 'max_lifetime');
    assert.equal(bench.pool.stats().dialing, 1, 'its successor is on the way');
  });

  it('replaces a backend that could not be reset', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 1 } });
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    const waiter = bench.wait();
    bench.pool.release(backend, 'dirty');
    assert.equal(bench.pool.stats().resetting, 1);
    await bench.after(() => backend.endReset('failed'));
    assert.equal(backend.closeReason, 'reset_failed');
    bench.upstream.followCloses();
    await bench.after(() => bench.upstream.acceptAll());
    assert.equal(waiter.backend?.id, 2);
  });

  it('frees the slot of a backend whose server closed, whatever it was doing', async () => {
    const bench = new PoolBench();
    const [idle, leased, resetting] = await bench.lease(3);
    assert.ok(idle && leased && resetting);
    bench.pool.release(idle, 'clean');
    bench.pool.release(resetting, 'dirty');
    for (const backend of [idle, leased, resetting]) backend.serverCloses();
    await bench.after(() => resetting.endReset('failed'));
    assert.equal(bench.pool.stats().total, 0);
    assert.equal(bench.pool.stats().counters.closes.server_gone, 3);
    bench.pool.discard(leased, 'server_gone');
    assert.throws(() => bench.pool.discard(leased, 'server_gone'), InvariantViolation);
  });
});

describe('Pool: drain', () => {
  it('moves waiters, closes idle backends now and leased ones when given back', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 2 } });
    const [idle, leased] = await bench.lease(2);
    assert.ok(idle && leased);
    const waiter = bench.wait();
    await bench.clock.pass(70);
    bench.pool.release(idle, 'clean');
    assert.equal(waiter.backend, idle);
    const late = bench.wait();
    bench.pool.release(idle, 'dirty');
    let drained = false;
    void bench.pool.drain('pool_drained').then(() => (drained = true));
    assert.equal(late.timesTold, 0, 'told later than the call');
    await followPromises();
    assert.equal(late.movedSinceMs, 70);
    assert.equal(idle.closeReason, 'pool_drained');
    assert.equal(leased.closeReason, undefined);
    bench.pool.release(leased, 'clean');
    assert.equal(leased.closeReason, 'pool_drained');
    await followPromises();
    assert.equal(drained, false);
    await bench.after(() => bench.upstream.followCloses());
    assert.equal(drained, true);
  });

  it('aborts running dials and takes no error from them', async () => {
    const bench = new PoolBench();
    bench.wait();
    await bench.pool.drain('pool_drained');
    assert.equal(bench.upstream.occupied, 0);
    assert.equal(bench.pool.stats().failing, undefined);
    assert.equal(bench.pool.stats().counters.dialFailures, 0);
  });

  it('moves whoever asks later, and leases nothing', async () => {
    const bench = new PoolBench();
    await bench.pool.drain('pool_drained');
    await bench.clock.pass(5);
    assert.equal(bench.pool.take(), undefined);
    const waiter = bench.wait();
    await followPromises();
    assert.equal(waiter.movedSinceMs, 5);
    assert.equal(bench.upstream.dials.length, 0);
  });

  it('refuses waiters with SHUTTING_DOWN when there is nowhere to move to', async () => {
    const bench = new PoolBench();
    const waiter = bench.wait();
    await bench.pool.drain('shutdown');
    assert.equal(waiter.error?.code, 'SHUTTING_DOWN');
  });

  it('keeps the first reason and resolves both callers', async () => {
    const bench = new PoolBench();
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    const both = Promise.all([bench.pool.drain('pool_drained'), bench.pool.drain('shutdown')]);
    bench.pool.release(backend, 'clean');
    assert.equal(backend.closeReason, 'pool_drained');
    backend.serverCloses();
    await both;
  });

  it('gives a moved waiter its place before later arrivals, and its first deadline', async () => {
    const bench = new PoolBench({ settings: { maxConnections: 1, acquireTimeoutMs: 1_000 } });
    await bench.lease(1);
    await bench.clock.pass(400);
    const newcomer = bench.wait();
    const moved = new RecordingWaiter();
    bench.pool.wait(moved, 100);
    await bench.clock.pass(699);
    assert.equal(moved.timesTold, 0);
    await bench.clock.pass(1);
    assert.equal(moved.error?.code, 'POOL_ACQUIRE_TIMEOUT');
    assert.equal(newcomer.timesTold, 0);
  });
});
