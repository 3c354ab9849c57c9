/** How server connections grow old, and how a pool notices that their server is gone. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';

describe('Pool: max_queries', () => {
  it('closes a connection given back after its 100th query, not after its 99th', async () => {
    const rig = new PoolRig({ settings: { maxQueries: 100 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    backend.answered = 99;
    rig.pool.release(backend, 'clean');
    assert.equal(rig.pool.take(), backend);
    backend.answered = 100;
    rig.pool.release(backend, 'clean');
    assert.equal(backend.closeReason, 'max_queries');
    assert.equal(rig.pool.take(), undefined);
  });

  it('gives its place to a new connection for whoever is in line', async () => {
    const rig = new PoolRig({ settings: { maxConnections: 1, maxQueries: 10 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    const waiter = rig.wait();
    backend.answered = 10;
    rig.pool.release(backend, 'clean');
    assert.equal(waiter.timesTold, 0);
    rig.upstream.followCloses();
    await rig.after(() => rig.upstream.acceptAll());
    assert.equal(waiter.backend, rig.upstream.backends[1]);
  });

  it('is not waited for to be cleaned first', async () => {
    const rig = new PoolRig({ settings: { maxQueries: 1 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    backend.answered = 1;
    rig.pool.release(backend, 'dirty');
    assert.equal(backend.closeReason, 'max_queries');
    assert.equal(backend.isResetting, false);
  });
});

describe('Pool: connections opened together', () => {
  /** Evenly over 0 to 1, as far as 40 draws can be. */
  function evenly(): () => number {
    let drawn = 0;
    return () => (drawn++ % 40) / 40;
  }

  it('reach max_lifetime of 100 s spread over the 20 s before it', async () => {
    const settings = { maxConnections: 40, minConnections: 40, maxLifetimeMs: 100_000 };
    const rig = new PoolRig({
      settings: { ...settings, idleTimeoutMs: 0 },
      limits: { waitersMax: 100, dialsMax: 40 },
      random: evenly(),
    });
    for (const backend of await rig.lease(40)) rig.pool.release(backend, 'clean');
    const closedPerSecond: number[] = [];
    for (let second = 1; second <= 100; second += 1) {
      await rig.clock.pass(1_000);
      const before = rig.pool.stats().counters.closes.max_lifetime;
      rig.pool.sweep();
      closedPerSecond.push(rig.pool.stats().counters.closes.max_lifetime - before);
    }
    assert.equal(
      closedPerSecond.slice(0, 79).some((count) => count > 0),
      false,
    );
    assert.ok(closedPerSecond.filter((count) => count > 0).length >= 20);
    assert.ok(Math.max(...closedPerSecond) <= 3, 'a few in each second');
  });

  it('wear out by max_queries of 100 between the 80th and the 100th query', async () => {
    const rig = new PoolRig({
      settings: { maxConnections: 40, maxQueries: 100 },
      limits: { waitersMax: 100, dialsMax: 40 },
      random: evenly(),
    });
    const closedAt: number[] = [];
    const leased = await rig.lease(40);
    for (let queries = 1; queries <= 100; queries += 1) {
      for (const backend of leased) {
        if (backend.closeReason !== undefined) continue;
        backend.answered = queries;
        rig.pool.release(backend, 'clean');
        if (backend.closeReason === 'max_queries') closedAt.push(queries);
        else assert.equal(rig.pool.take(), backend);
      }
    }
    assert.equal(closedAt.length, 40);
    assert.equal(Math.min(...closedAt), 80);
    assert.ok(new Set(closedAt).size >= 20, 'in twenty different rounds');
  });
});

describe('Pool: server_check_delay', () => {
  const CHECKED = { serverCheckDelayMs: 1_000, idleTimeoutMs: 0 } as const;

  async function resting(count: number): Promise<PoolRig> {
    const rig = new PoolRig({ settings: CHECKED });
    for (const backend of await rig.lease(count)) rig.pool.release(backend, 'clean');
    return rig;
  }

  it('asks connections that rest for 1,000 ms, half of them at a time', async () => {
    const rig = await resting(4);
    await rig.clock.pass(999);
    rig.pool.sweep();
    assert.equal(rig.pool.stats().checking, 0);
    await rig.clock.pass(1);
    rig.pool.sweep();
    assert.deepEqual([rig.pool.stats().checking, rig.pool.stats().idle], [2, 2]);
    assert.ok(rig.pool.take() !== undefined, 'a client is served meanwhile');
  });

  it('closes one whose server does not answer, and gives no client that one', async () => {
    const rig = await resting(2);
    await rig.clock.pass(1_000);
    rig.pool.sweep();
    const asked = rig.upstream.backends.find(({ isChecking }) => isChecking);
    assert.notEqual(rig.pool.take(), asked);
    await rig.after(() => asked?.endCheck('failed'));
    assert.equal(asked?.closeReason, 'check_failed');
    rig.upstream.followCloses();
    assert.equal(rig.pool.stats().total, 1);
  });

  it('counts an answer as no use: idle_timeout goes on', async () => {
    const rig = new PoolRig({ settings: { ...CHECKED, idleTimeoutMs: 1_500 } });
    for (const backend of await rig.lease(1)) rig.pool.release(backend, 'clean');
    await rig.clock.pass(1_000);
    rig.pool.sweep();
    await rig.after(() => rig.upstream.backends[0]?.endCheck('done'));
    assert.equal(rig.pool.stats().idle, 1);
    await rig.clock.pass(500);
    rig.pool.sweep();
    assert.equal(rig.upstream.backends[0]?.closeReason, 'idle_timeout');
  });

  it('gives the one that was asked to a client that came meanwhile', async () => {
    const rig = await resting(1);
    await rig.clock.pass(1_000);
    rig.pool.sweep();
    const waiter = rig.wait();
    await rig.after(() => rig.upstream.backends[0]?.endCheck('done'));
    assert.equal(waiter.backend, rig.upstream.backends[0]);
  });

  it('is over, and its slot free, when the server closes under it', async () => {
    const rig = await resting(1);
    await rig.clock.pass(1_000);
    rig.pool.sweep();
    await rig.after(() => rig.upstream.backends[0]?.serverCloses());
    await rig.after(() => rig.upstream.backends[0]?.endCheck('failed'));
    assert.equal(rig.pool.stats().total, 0);
    assert.equal(rig.pool.stats().counters.closes.server_gone, 1);
  });
});
