/**
 * What the metrics page says of pools, sessions and the proxy: sums per tenant, counters that
 * outlive their pool, and no series of a tenant that is gone.
 */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { BufferPool } from '../buffers/buffer-pool.ts';
import { DurationTally } from './duration-tally.ts';
import { ClientLimits } from '../session/client-limits.ts';
import { Metrics } from './metrics.ts';
import { PoolTally } from './pool-tally.ts';
import { SessionTally } from './session-tally.ts';
import { FakePool } from './testing.ts';

let pools: FakePool[];
let sessions: SessionTally;
let metrics: Metrics;
let buffers: BufferPool;

beforeEach(() => {
  pools = [];
  sessions = new SessionTally();
  buffers = new BufferPool({ initialBytes: 512, maxBytes: 1_024 });
  metrics = new Metrics({
    pools: new PoolTally(() => pools),
    buffers,
    budget: undefined,
    sessions,
    certificateNotAfterMs: () => undefined,
    clients: () => 12,
    clientLimits: new ClientLimits(20),
    feed: () => ({ appliedPosition: 77, rejectedTotal: 2 }),
  });
});

/** The lines of the page that begin with `name`, without comments. */
async function lines(name: string): Promise<readonly string[]> {
  const { text } = await metrics.page();
  return text.split('\n').filter((line) => line.startsWith(name));
}

describe('Metrics of pools', () => {
  it('adds up the connections of all pools of a tenant', async () => {
    pools = [
      new FakePool('acme', {
        active: 2,
        idle: 3,
        kept: 1,
        total: 6,
        waiting: 1,
        longestWaitMs: 250,
      }),
      new FakePool('ACME', { active: 1, idle: 0, total: 1, waiting: 4, longestWaitMs: 100 }),
      new FakePool('shop', { idle: 5, total: 5 }, { protocol: 'mysql' }),
    ];
    assert.deepEqual(await lines('dbbouncer_connections_'), [
      'dbbouncer_connections_active{tenant="acme",db_type="postgres"} 3',
      'dbbouncer_connections_active{tenant="shop",db_type="mysql"} 0',
      'dbbouncer_connections_idle{tenant="acme",db_type="postgres"} 3',
      'dbbouncer_connections_idle{tenant="shop",db_type="mysql"} 5',
      'dbbouncer_connections_kept{tenant="acme",db_type="postgres"} 1',
      'dbbouncer_connections_kept{tenant="shop",db_type="mysql"} 0',
      'dbbouncer_connections_total{tenant="acme",db_type="postgres"} 7',
      'dbbouncer_connections_total{tenant="shop",db_type="mysql"} 5',
      'dbbouncer_connections_waiting{tenant="acme",db_type="postgres"} 5',
      'dbbouncer_connections_waiting{tenant="shop",db_type="mysql"} 0',
    ]);
    assert.deepEqual(await lines('dbbouncer_longest_wait_seconds{tenant="acme"'), [
      'dbbouncer_longest_wait_seconds{tenant="acme",db_type="postgres"} 0.25',
    ]);
  });

  it('calls a tenant unhealthy only while every open pool of it fails to connect', async () => {
    const failing = { failing: 'connection refused' };
    pools = [
      new FakePool('down', failing),
      new FakePool('down', failing, { database: 'other' }),
      new FakePool('half', failing),
      new FakePool('half', {}),
      new FakePool('moved', { ...failing }),
      new FakePool('moved', { state: 'draining' }),
    ];
    assert.deepEqual(await lines('dbbouncer_tenant_health'), [
      'dbbouncer_tenant_health{tenant="down"} 0',
      'dbbouncer_tenant_health{tenant="half"} 1',
      'dbbouncer_tenant_health{tenant="moved"} 0',
    ]);
    pools = [new FakePool('down', {})];
    assert.deepEqual(await lines('dbbouncer_tenant_health'), [
      'dbbouncer_tenant_health{tenant="down"} 1',
    ]);
  });

  it('keeps what a pool counted after the pool is gone, its last counts included', async () => {
    const old = new FakePool('acme', {
      counters: { exhausted: 3, waits: { pool_full: 1 }, closes: { idle_timeout: 2 } },
    });
    pools = [old];
    await metrics.page();
    old.numbers = {
      counters: {
        exhausted: 5,
        waits: { pool_full: 3 },
        closes: { idle_timeout: 2, pool_drained: 4 },
      },
    };
    pools = [new FakePool('acme', { counters: { exhausted: 1, closes: { idle_timeout: 1 } } })];
    for (let reading = 0; reading < 3; reading++) {
      assert.deepEqual(await lines('dbbouncer_pool_exhausted_total'), [
        'dbbouncer_pool_exhausted_total{tenant="acme"} 6',
      ]);
    }
    assert.deepEqual(await lines('dbbouncer_waits_total'), [
      'dbbouncer_waits_total{reason="pool_full"} 3',
    ]);
    assert.deepEqual(await lines('dbbouncer_server_closes_total'), [
      'dbbouncer_server_closes_total{reason="idle_timeout"} 3',
      'dbbouncer_server_closes_total{reason="pool_drained"} 4',
    ]);
  });
});

describe('Metrics of sessions', () => {
  it('counts query durations into buckets per tenant and protocol', async () => {
    const acme = sessions.tenant('acme', 'postgres');
    for (const seconds of [0.0005, 0.0006, 0.02, 90]) acme.queryFinished(seconds);
    const page = await lines('dbbouncer_query_duration_seconds');
    const series = 'tenant="acme",db_type="postgres"';
    const expected = [
      `dbbouncer_query_duration_seconds_bucket{${series},le="0.0005"} 1`,
      `dbbouncer_query_duration_seconds_bucket{${series},le="0.001"} 2`,
      `dbbouncer_query_duration_seconds_bucket{${series},le="0.01"} 2`,
      `dbbouncer_query_duration_seconds_bucket{${series},le="0.025"} 3`,
      `dbbouncer_query_duration_seconds_bucket{${series},le="60"} 3`,
      `dbbouncer_query_duration_seconds_bucket{${series},le="+Inf"} 4`,
      `dbbouncer_query_duration_seconds_count{${series}} 4`,
    ];
    for (const line of expected) assert(page.includes(line), line);
    const sum = page.find((line) => line.includes('_sum'))?.split(' ')[1];
    assert(Math.abs(Number(sum) - 90.0211) < 1e-9);
  });

  it('counts waits, pins, resets, dirty ends and failed logins under their words', async () => {
    const acme = sessions.tenant('acme', 'postgres');
    acme.acquired(0.3);
    acme.pinned('listen');
    acme.pinned('listen');
    acme.backendReset('clean');
    acme.backendReset('failed');
    acme.dirtyDisconnect();
    acme.authFailed('wrong_password');
    sessions.authFailed('unknown_tenant');
    const { text } = await metrics.page();
    const expected = [
      'dbbouncer_acquire_duration_seconds_sum{tenant="acme",db_type="postgres"} 0.3',
      'dbbouncer_session_pins_total{reason="listen"} 2',
      'dbbouncer_backend_resets_total{status="clean"} 1',
      'dbbouncer_backend_resets_total{status="failed"} 1',
      'dbbouncer_dirty_disconnects_total 1',
      'dbbouncer_auth_failures_total{reason="wrong_password"} 1',
      'dbbouncer_auth_failures_total{reason="unknown_tenant"} 1',
    ];
    for (const line of expected) assert(text.split('\n').includes(line), line);
  });

  it('counts verdicts of the classifier by what spoke against sharing', async () => {
    const acme = sessions.tenant('acme', 'postgres');
    const globex = sessions.tenant('globex', 'postgres');
    for (const meter of [acme, globex]) meter.classified('harmless');
    acme.classified('unknown_function');
    const { text } = await metrics.page();
    const expected = [
      'dbbouncer_classifier_total{verdict="shared",reason="harmless"} 2',
      'dbbouncer_classifier_total{verdict="exclusive",reason="unknown_function"} 1',
    ];
    for (const line of expected) assert(text.split('\n').includes(line), line);
  });

  it('hands out one handle per tenant, whatever the letters', () => {
    const acme = sessions.tenant('acme', 'postgres');
    assert.equal(sessions.tenant('ACME', 'postgres'), acme);
    assert.notEqual(sessions.tenant('globex', 'postgres'), acme);
  });

  it('counts 1,000,000 queries in less than a second', () => {
    const acme = sessions.tenant('acme', 'postgres');
    const startedMs = performance.now();
    for (let n = 0; n < 1_000_000; n++) acme.queryFinished(0.002);
    assert(performance.now() - startedMs < 1_000);
  });
});

describe('Metrics of the proxy', () => {
  it('shows what became of 3 buffers: one is in use, one free, one was given up', async () => {
    const [first, second] = [buffers.get(512), buffers.get(1_000), buffers.get(512)];
    buffers.put(first);
    buffers.discard(second);
    assert.deepEqual(await lines('dbbouncer_buffer_pool_'), [
      'dbbouncer_buffer_pool_gets_total{pool="buffer"} 3',
      'dbbouncer_buffer_pool_returns_total{pool="buffer"} 1',
      'dbbouncer_buffer_pool_discards_total{pool="buffer"} 1',
      'dbbouncer_buffer_pool_misses_total{pool="buffer"} 3',
      'dbbouncer_buffer_pool_bytes{pool="buffer",state="taken"} 512',
      'dbbouncer_buffer_pool_bytes{pool="buffer",state="free"} 512',
    ]);
  });

  it('shows clients, position, rejections and the process itself', async () => {
    const { text, contentType } = await metrics.page();
    assert.equal(contentType, 'text/plain; version=0.0.4; charset=utf-8');
    for (const line of [
      'dbbouncer_clients 12',
      'dbbouncer_applied_position 77',
      'dbbouncer_rejected_total 2',
      '# TYPE dbbouncer_rejected_total counter',
      '# TYPE dbbouncer_query_duration_seconds histogram',
      '# TYPE dbbouncer_connections_active gauge',
    ]) {
      assert(text.split('\n').includes(line), line);
    }
    assert.match(text, /^process_resident_memory_bytes \d+/m);
  });

  it('drops every series of a tenant that was removed, also while its pool drains', async () => {
    const pool = new FakePool('acme', { counters: { exhausted: 3 } });
    pools = [pool];
    sessions.tenant('acme', 'postgres').queryFinished(1);
    await metrics.page();
    pool.numbers = { state: 'draining', counters: { exhausted: 3 } };
    metrics.forget('ACME');
    await metrics.page();
    pools = [];
    const { text } = await metrics.page();
    assert.doesNotMatch(text, /acme/);
  });
});

describe('DurationTally', () => {
  it('puts a duration that equals a bound under that bound', () => {
    const tally = new DurationTally();
    tally.add(0.25);
    const counts = new Map(tally.cumulative());
    assert.equal(counts.get(0.1), 0);
    assert.equal(counts.get(0.25), 1);
    assert.equal(counts.get('+Inf'), 1);
  });
});
