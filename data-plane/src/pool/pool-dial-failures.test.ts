import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolBench } from '../../../tests/pool/pool-bench.ts';
import { refusal } from '../../../tests/pool/scripted-upstream.ts';
import { followPromises } from '../../../tests/support/manual-clock.ts';

describe('Pool: dial failures', () => {
  it("refuses those in line with the database's own words when no backend works", async () => {
    const bench = new PoolBench();
    const waiters = [bench.wait(), bench.wait()];
    const error = refusal('password authentication failed for user "acme_app"');
    await bench.after(() => bench.upstream.dials[0]?.fail(error));
    assert.equal(waiters[0]?.timesTold, 0, 'another dial is still running');
    await bench.after(() => bench.upstream.dials[0]?.fail(error));
    assert.deepEqual(
      waiters.map((waiter) => waiter.error),
      [error, error],
    );
    assert.equal(bench.pool.stats().failing, error.message);
  });

  it('keeps those in line when one of several dials fails and another succeeds', async () => {
    const bench = new PoolBench();
    const waiters = [bench.wait(), bench.wait()];
    await bench.after(() => bench.upstream.dials[0]?.fail());
    await bench.after(() => bench.upstream.dials[0]?.succeed());
    assert.equal(waiters[0]?.backend?.id, 1);
    assert.equal(waiters[1]?.timesTold, 0);
  });

  it('refuses newcomers at once during the pause, then tries again with one dial', async () => {
    const bench = new PoolBench();
    bench.wait();
    await bench.after(() => bench.upstream.dials[0]?.fail(refusal('no')));
    await bench.clock.pass(199);
    const early = bench.wait();
    await followPromises();
    assert.equal(early.error?.message, 'no');
    assert.equal(bench.upstream.dials.length, 0);
    await bench.clock.pass(1);
    const waiters = [bench.wait(), bench.wait(), bench.wait()];
    assert.equal(bench.upstream.dials.length, 1, 'one dial at a time asks again');
    await bench.after(() => bench.upstream.acceptAll());
    assert.equal(waiters[0]?.backend?.id, 1);
    assert.equal(bench.upstream.dials.length, 2, 'after a success as many as are needed');
    assert.equal(bench.pool.stats().failing, undefined);
  });

  it('doubles the pause with each failure, from 200 ms to 15 s without jitter', async () => {
    const bench = new PoolBench();
    const pausesMs: number[] = [];
    for (let attempt = 0; attempt < 9; attempt += 1) {
      bench.wait();
      await bench.after(() => bench.upstream.dials[0]?.fail());
      const failedMs = bench.clock.nowMs();
      while (bench.upstream.dials.length === 0) {
        await bench.clock.pass(100);
        bench.wait();
      }
      pausesMs.push(bench.clock.nowMs() - failedMs);
    }
    assert.deepEqual(pausesMs, [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
  });

  it('begins with the shortest pause again after a success', async () => {
    const bench = new PoolBench();
    for (const pauseMs of [200, 400]) {
      bench.wait();
      await bench.after(() => bench.upstream.dials[0]?.fail());
      await bench.clock.pass(pauseMs);
    }
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    backend.serverCloses();
    bench.wait();
    await bench.after(() => bench.upstream.dials[0]?.fail());
    await bench.clock.pass(200);
    bench.wait();
    assert.equal(bench.upstream.dials.length, 1);
  });

  it('counts dials that fail side by side as one failure', async () => {
    const bench = new PoolBench();
    for (let client = 0; client < 5; client += 1) bench.wait();
    await bench.after(() => {
      for (const dial of Array.from(bench.upstream.dials)) dial.fail();
    });
    await bench.clock.pass(200);
    bench.wait();
    assert.equal(bench.upstream.dials.length, 1);
    assert.equal(bench.pool.stats().counters.dialFailures, 5);
  });

  it('lets clients wait for a release while some backends work, and names the dial error at the deadline', async () => {
    const bench = new PoolBench({ settings: { acquireTimeoutMs: 1_000 } });
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    const served = bench.wait();
    const late = bench.wait();
    await bench.after(() => {
      for (const dial of Array.from(bench.upstream.dials)) dial.fail(refusal('too many clients'));
    });
    assert.equal(served.timesTold + late.timesTold, 0);
    bench.pool.release(backend, 'clean');
    assert.equal(served.backend, backend);
    await bench.clock.pass(200);
    assert.equal(bench.upstream.dials.length, 1, 'tries again after the pause');
    await bench.after(() => bench.upstream.dials[0]?.fail(refusal('too many clients')));
    await bench.clock.pass(800);
    assert.equal(late.error?.code, 'POOL_ACQUIRE_TIMEOUT');
    assert.equal(late.error.detail, 'The last attempt to connect failed: too many clients');
  });

  it('refuses those in line when the last working backend goes during the pause', async () => {
    const bench = new PoolBench();
    const [backend] = await bench.lease(1);
    assert.ok(backend);
    const waiter = bench.wait();
    await bench.after(() => bench.upstream.dials[0]?.fail(refusal('starting up')));
    assert.equal(waiter.timesTold, 0);
    await bench.after(() => backend.serverCloses());
    assert.equal(waiter.error?.message, 'starting up');
  });

  it('takes a server that closes right after the login for one that refuses', async () => {
    const bench = new PoolBench();
    const waiter = bench.wait();
    await bench.after(() => bench.upstream.dials[0]?.succeed().serverCloses());
    assert.equal(waiter.error?.code, 'UPSTREAM_UNREACHABLE');
    assert.equal(bench.pool.stats().total, 0);
    assert.equal(bench.upstream.dials.length, 0, 'it pauses');
  });

  it('does not show a defect in a dial to the client', async () => {
    const bench = new PoolBench();
    const waiter = bench.wait();
    await bench.after(() => bench.upstream.dials[0]?.fail(new TypeError('x is undefined')));
    assert.equal(waiter.error?.code, 'UPSTREAM_UNREACHABLE');
    assert.doesNotMatch(waiter.error.message, /undefined/);
  });

  it('does not retry for the minimum before the pause ends', async () => {
    const bench = new PoolBench({ settings: { minConnections: 1 } });
    bench.wait();
    await bench.after(() => bench.upstream.dials[0]?.fail());
    bench.pool.sweep();
    assert.equal(bench.upstream.dials.length, 0);
    await bench.clock.pass(200);
    bench.pool.sweep();
    assert.equal(bench.upstream.dials.length, 1);
  });
});
