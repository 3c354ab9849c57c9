/** What clients see while the database server cannot be reached or says no. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import { refusal } from '../../../tests/pool/scripted-upstream.ts';
import { followPromises } from '../../../tests/support/manual-clock.ts';

describe('Pool: dial failures', () => {
  it("refuses those in line with the database's own words when no backend works", async () => {
    const rig = new PoolRig();
    const waiters = [rig.wait(), rig.wait()];
    const error = refusal('password authentication failed for user "acme_app"');
    await rig.after(() => rig.upstream.dials[0]?.fail(error));
    assert.equal(waiters[0]?.timesTold, 0, 'another dial is still running');
    await rig.after(() => rig.upstream.dials[0]?.fail(error));
    assert.deepEqual(
      waiters.map((waiter) => waiter.error),
      [error, error],
    );
    assert.equal(rig.pool.stats().failing, error.message);
  });

  it('keeps those in line when one of several dials fails and another succeeds', async () => {
    const rig = new PoolRig();
    const waiters = [rig.wait(), rig.wait()];
    await rig.after(() => rig.upstream.dials[0]?.fail());
    await rig.after(() => rig.upstream.dials[0]?.succeed());
    assert.equal(waiters[0]?.backend?.id, 1);
    assert.equal(waiters[1]?.timesTold, 0);
  });

  it('refuses newcomers at once during the pause, then tries again with one dial', async () => {
    const rig = new PoolRig();
    rig.wait();
    await rig.after(() => rig.upstream.dials[0]?.fail(refusal('no')));
    await rig.clock.pass(199);
    const early = rig.wait();
    await followPromises();
    assert.equal(early.error?.message, 'no');
    assert.match(early.error.detail ?? '', /asks the server again in 1 ms.*server_login_retry/);
    assert.equal(rig.upstream.dials.length, 0);
    await rig.clock.pass(1);
    const waiters = [rig.wait(), rig.wait(), rig.wait()];
    assert.equal(rig.upstream.dials.length, 1, 'one dial at a time asks again');
    await rig.after(() => rig.upstream.acceptAll());
    assert.equal(waiters[0]?.backend?.id, 1);
    assert.equal(rig.upstream.dials.length, 2, 'after a success as many as are needed');
    assert.equal(rig.pool.stats().failing, undefined);
  });

  it('doubles the pause with each failure, from 200 ms to 15 s without jitter', async () => {
    const rig = new PoolRig({ settings: { serverLoginRetryMs: 15_000 } });
    const pausesMs: number[] = [];
    for (let attempt = 0; attempt < 9; attempt += 1) {
      rig.wait();
      await rig.after(() => rig.upstream.dials[0]?.fail());
      const failedMs = rig.clock.nowMs();
      while (rig.upstream.dials.length === 0) {
        await rig.clock.pass(100);
        rig.wait();
      }
      pausesMs.push(rig.clock.nowMs() - failedMs);
    }
    assert.deepEqual(pausesMs, [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
  });

  it('begins with the shortest pause again after a success', async () => {
    const rig = new PoolRig();
    for (const pauseMs of [200, 400]) {
      rig.wait();
      await rig.after(() => rig.upstream.dials[0]?.fail());
      await rig.clock.pass(pauseMs);
    }
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    backend.serverCloses();
    rig.wait();
    await rig.after(() => rig.upstream.dials[0]?.fail());
    await rig.clock.pass(200);
    rig.wait();
    assert.equal(rig.upstream.dials.length, 1);
  });

  it('counts dials that fail side by side as one failure', async () => {
    const rig = new PoolRig();
    for (let client = 0; client < 5; client += 1) rig.wait();
    await rig.after(() => {
      for (const dial of Array.from(rig.upstream.dials)) dial.fail();
    });
    await rig.clock.pass(200);
    rig.wait();
    assert.equal(rig.upstream.dials.length, 1);
    assert.equal(rig.pool.stats().counters.dialFailures, 5);
  });

  it('waits for a release while backends work; the deadline names the dial error', async () => {
    const rig = new PoolRig({ settings: { acquireTimeoutMs: 1_000 } });
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    const served = rig.wait();
    const late = rig.wait();
    await rig.after(() => {
      for (const dial of Array.from(rig.upstream.dials)) dial.fail(refusal('too many clients'));
    });
    assert.equal(served.timesTold + late.timesTold, 0);
    rig.pool.release(backend, 'clean');
    assert.equal(served.backend, backend);
    await rig.clock.pass(200);
    assert.equal(rig.upstream.dials.length, 1, 'tries again after the pause');
    await rig.after(() => rig.upstream.dials[0]?.fail(refusal('too many clients')));
    await rig.clock.pass(800);
    assert.equal(late.error?.code, 'POOL_ACQUIRE_TIMEOUT');
    assert.equal(
      late.error.detail,
      'reason: login_failing; the last attempt to connect failed: too many clients',
    );
  });

  it('refuses those in line when the last working backend goes during the pause', async () => {
    const rig = new PoolRig();
    const [backend] = await rig.lease(1);
    assert.ok(backend);
    const waiter = rig.wait();
    await rig.after(() => rig.upstream.dials[0]?.fail(refusal('starting up')));
    assert.equal(waiter.timesTold, 0);
    await rig.after(() => backend.serverCloses());
    assert.equal(waiter.error?.message, 'starting up');
  });

  it('takes a server that closes right after the login for one that refuses', async () => {
    const rig = new PoolRig();
    const waiter = rig.wait();
    await rig.after(() => rig.upstream.dials[0]?.succeed().serverCloses());
    assert.equal(waiter.error?.code, 'UPSTREAM_UNREACHABLE');
    assert.equal(rig.pool.stats().total, 0);
    assert.equal(rig.upstream.dials.length, 0, 'it pauses');
  });

  it('does not show a defect in a dial to the client', async () => {
    const rig = new PoolRig();
    const waiter = rig.wait();
    await rig.after(() => rig.upstream.dials[0]?.fail(new TypeError('x is undefined')));
    assert.equal(waiter.error?.code, 'UPSTREAM_UNREACHABLE');
    assert.doesNotMatch(waiter.error.message, /undefined/);
  });

  it('does not retry for the minimum before the pause ends', async () => {
    const rig = new PoolRig({ settings: { minConnections: 1 } });
    rig.wait();
    await rig.after(() => rig.upstream.dials[0]?.fail());
    rig.pool.sweep();
    assert.equal(rig.upstream.dials.length, 0);
    await rig.clock.pass(200);
    rig.pool.sweep();
    assert.equal(rig.upstream.dials.length, 1);
  });
});
