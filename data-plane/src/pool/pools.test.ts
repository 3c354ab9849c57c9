/** Pools made, kept, drained and dropped; the periodic sweep. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { followPromises, ManualClock } from '../../../tests/support/manual-clock.ts';
import {
  identity,
  RecordingWaiter,
  ScriptedUpstream,
  settings,
} from '../../../tests/pool/scripted-upstream.ts';
import type { ScriptedBackend } from '../../../tests/pool/scripted-upstream.ts';
import { Janitor } from './janitor.ts';
import { DORMANT_POOL_MS } from './limits.ts';
import type { Pool } from './pool.ts';
import { Pools } from './pools.ts';
import type { PoolSpec } from './pools.ts';

const UNLIMITED = { traffic: 'active', userMax: Infinity } as const;
const ONE = settings({ maxConnections: 1 });

describe('Pools', () => {
  let clock = new ManualClock();
  let pools = new Pools<ScriptedBackend>({ clock, log: silentLogger });

  beforeEach(() => {
    clock = new ManualClock();
    pools = new Pools<ScriptedBackend>({ clock, log: silentLogger });
  });

  function spec(upstream: ScriptedUpstream, tenant = 'acme'): PoolSpec<ScriptedBackend> {
    return { identity: identity({ tenant }), ...UNLIMITED, settings: ONE, upstream };
  }

  async function lease(pool: Pool<ScriptedBackend>, upstream: ScriptedUpstream) {
    const waiter = new RecordingWaiter();
    pool.wait(waiter);
    upstream.acceptAll();
    await followPromises();
    assert.ok(waiter.backend);
    return waiter.backend;
  }

  it('makes a pool once for each key', () => {
    const pool = pools.get('a', () => spec(new ScriptedUpstream()));
    assert.equal(
      pools.get('a', () => assert.fail('it is there already')),
      pool,
    );
    assert.notEqual(
      pools.get('b', () => spec(new ScriptedUpstream())),
      pool,
    );
  });

  it('moves waiters of a changed tenant to its new pool, under the same limit', async () => {
    const before = new ScriptedUpstream();
    const after = new ScriptedUpstream();
    const old = pools.get('acme@old', () => spec(before));
    const leased = await lease(old, before);
    const waiter = new RecordingWaiter();
    old.wait(waiter);
    await clock.pass(5);

    pools.reconcile(() => undefined);
    await followPromises();
    assert.equal(waiter.movedSinceMs, 0);
    const current = pools.get('acme@new', () => spec(after));
    const moved = new RecordingWaiter();
    current.wait(moved, waiter.movedSinceMs);
    assert.equal(after.dials.length, 0, 'the old pool still occupies max_connections (1)');

    old.release(leased, 'clean');
    assert.equal(leased.closeReason, 'pool_drained');
    leased.serverCloses();
    after.acceptAll();
    await followPromises();
    assert.ok(moved.backend);
    assert.deepEqual(Array.from(pools), [current], 'the old pool is forgotten');
  });

  it('leaves pools alone that a swap does not concern, but for their settings', async () => {
    const kept = new ScriptedUpstream();
    const gone = new ScriptedUpstream();
    const pool = pools.get('kept', () => spec(kept, 'kept'));
    const backend = await lease(pool, kept);
    await lease(
      pools.get('gone', () => spec(gone, 'gone')),
      gone,
    );
    const terms = { ...UNLIMITED, settings: settings({ maxConnections: 2 }) };
    pools.reconcile((key) => (key === 'kept' ? terms : undefined));
    assert.equal(backend.closeReason, undefined);
    await lease(pool, kept);
    assert.equal(pool.stats().active, 2);
    assert.deepEqual(
      Array.from(pools, (each) => each.stats().state),
      ['open', 'draining'],
    );
  });

  it('makes a fresh pool when a config comes back while its old pool drains', async () => {
    const upstream = new ScriptedUpstream();
    const first = pools.get('a', () => spec(upstream));
    await lease(first, upstream);
    pools.reconcile(() => undefined);
    assert.notEqual(
      pools.get('a', () => spec(upstream)),
      first,
    );
  });

  it('holds one limit for a tenant however its id is spelled', async () => {
    const upstream = new ScriptedUpstream();
    await lease(
      pools.get('a', () => spec(upstream, 'Acme')),
      upstream,
    );
    pools.get('b', () => spec(upstream, 'acme')).wait(new RecordingWaiter());
    assert.equal(upstream.dials.length, 0);
  });

  it('drops a pool unused for 10 minutes; who still knows it is moved', async () => {
    const upstream = new ScriptedUpstream();
    const pool = pools.get('a', () => spec(upstream));
    const backend = await lease(pool, upstream);
    pool.discard(backend, 'client_gone');
    backend.serverCloses();
    await clock.pass(DORMANT_POOL_MS - 1);
    pools.sweep();
    assert.equal(Array.from(pools).length, 1);
    await clock.pass(1);
    pools.sweep();
    await followPromises();
    assert.equal(Array.from(pools).length, 0);
    const waiter = new RecordingWaiter();
    pool.wait(waiter);
    await followPromises();
    assert.equal(waiter.movedSinceMs, DORMANT_POOL_MS);
  });

  it('keeps a pool that somebody holds or waits for, however long', async () => {
    const upstream = new ScriptedUpstream();
    await lease(
      pools.get('a', () => spec(upstream)),
      upstream,
    );
    await clock.pass(DORMANT_POOL_MS * 2);
    pools.sweep();
    assert.equal(Array.from(pools).length, 1);
  });

  it('refuses new pools after shutdown and ends when the last backend has closed', async () => {
    const upstream = new ScriptedUpstream();
    const pool = pools.get('a', () => spec(upstream));
    const backend = await lease(pool, upstream);
    let done = false;
    void pools.shutdown().then(() => (done = true));
    assert.throws(() => pools.get('b', () => spec(upstream)), { code: 'SHUTTING_DOWN' });
    await followPromises();
    assert.equal(done, false);
    pool.release(backend, 'clean');
    assert.equal(backend.closeReason, 'shutdown');
    backend.serverCloses();
    await followPromises();
    assert.equal(done, true);
  });
});

describe('Janitor', () => {
  it('sweeps every place each interval until it is stopped', async () => {
    const clock = new ManualClock();
    const sweptMs: number[] = [];
    const place = { sweep: () => void sweptMs.push(clock.nowMs()) };
    const janitor = new Janitor(clock, [place], 1_000);
    await clock.pass(2_500);
    assert.deepEqual(sweptMs, [1_000, 2_000]);
    janitor.stop();
    await clock.pass(5_000);
    assert.equal(sweptMs.length, 2);
    assert.equal(clock.pendingTimers, 0);
  });
});
