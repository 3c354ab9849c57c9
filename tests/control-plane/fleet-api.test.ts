/**
 * What REST says of the proxies, given what they report: one and all, whether they agree, a tenant
 * summed over them, and how far an operation on it has come.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { latencyBucket } from '@dbbouncer/shared/contract/latency-histogram.ts';
import { eventually } from '../support/eventually.ts';
import { poolReport, sendReport } from './fake-proxy.ts';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import type { Answer } from './harness.ts';

type Fields = Readonly<Record<string, unknown>>;
let plane: TestControlPlane;

before(async () => {
  plane = await TestControlPlane.start({ DBBOUNCER_PROXY_LOST_AFTER: '2s' });
  for (const id of ['acme', 'idle']) {
    const body = tenantBody(id, { max_connections: 20 });
    assert.equal((await plane.call('POST', '/tenants', { body })).status, 201);
  }
});
after(() => plane[Symbol.asyncDispose]());

const vitals = {
  cpuShare: 0.5,
  rssBytes: 2e8,
  heapUsedBytes: 5e7,
  loopDelayP50Ms: 0.1,
  loopDelayP99Ms: 2,
  loopDelayMaxMs: 30,
};
const counts = { queries: 10, transactions: 8, serverErrors: 2, proxyErrors: 1, pins: 3 };
const NONE = { queries: 0, transactions: 0, serverErrors: 0, proxyErrors: 0, pins: 0 };

/** So many of one length. */
const took = (seconds: number, times: number) => [latencyBucket(seconds), times];

/** Sends a report; resolves with the answer that shows it. */
async function report(proxy: string, fields: Partial<ProxyReport>): Promise<Answer> {
  const sentAt = new Date().toISOString();
  sendReport(plane.bus, proxy, { ...fields, sentAt });
  return eventually(`${proxy} is heard`, async () => {
    const answer = await plane.call('GET', `/fleet/${proxy}`);
    return answer.json['sent_at'] === sentAt && answer;
  });
}

const convergence = async () => (await plane.call('GET', '/fleet/convergence')).json;
const rows = (json: Fields, name: string) => json[name] as readonly Fields[];

describe('GET /fleet/{proxy}', () => {
  it('tells everything of one, and 404 of one that nobody has heard of', async () => {
    const at = '2026-11-22T03:00:00.000Z';
    const limits = { version: '18.4', maxConnections: 100, reservedConnections: 3 };
    const rejections = [{ position: 3, reason: 'unknown form', at }];
    const { json } = await report('whole', {
      phase: 'draining',
      appliedPosition: 2,
      rejections,
      vitals,
      activity: counts,
      pools: [poolReport('acme', { failing: 'no route' })],
      tenants: [{ tenant: 'acme', ...counts, queryTimes: took(0.01, 10) }],
      tenantsOmitted: 4,
      servers: [{ host: 'db', port: 5432, limits }],
      endpoints: [
        {
          host: 'db',
          port: 5432,
          outcome: 'failed',
          dialedAt: at,
          dialMs: 3,
          error: 'no',
          failingSince: at,
          consecutiveFailures: 7,
        },
      ],
    });
    assert.deepEqual(
      [json['status'], json['draining'], json['endpoints_failing'], json['tenants_omitted']],
      ['live', true, 1, 4],
    );
    assert.deepEqual(json['rejections'], rejections);
    assert.equal((json['vitals'] as Fields)['loop_delay_max_ms'], 30);
    assert.equal((json['activity'] as Fields)['server_errors'], 2);
    assert.deepEqual(rows(json, 'endpoints')[0], {
      host: 'db',
      port: 5432,
      outcome: 'failed',
      dialed_at: at,
      dial_ms: 3,
      error: 'no',
      round_trip_ms: null,
      failing_since: at,
      consecutive_failures: 7,
    });
    const [tenant] = rows(json, 'tenants');
    const { count, p99 = 0 } = (tenant?.['query_ms'] ?? {}) as Record<string, number>;
    assert.ok(count === 10 && Math.abs(p99 - 10) < 1.3, `${p99}`);
    assert.equal(rows(json, 'servers')[0]?.['max_connections'], 100);
    assertProblem(await plane.call('GET', '/fleet/nobody'), 404, 'PROXY_NOT_FOUND');
  });

  it('tells what a proxy of an older version has said', async () => {
    const { json } = await report('older', { appliedPosition: 2, clients: 1 });
    assert.deepEqual([json['vitals'], json['activity'], json['tenants']], [null, null, []]);
    sendReport(plane.bus, 'older', { phase: 'stopped' });
    await eventually('it is gone', async () => {
      return (await plane.call('GET', '/fleet/older')).status === 404;
    });
  });
});

describe('GET /fleet/convergence', () => {
  it('names who lags since when, who is stuck and why, and who is lost', async () => {
    sendReport(plane.bus, 'whole', { phase: 'stopped' });
    await report('a', { appliedPosition: 2 });
    assert.deepEqual(
      [(await convergence())['state'], (await convergence())['share']],
      ['converged', 1],
    );
    await report('b', { appliedPosition: 1 });
    const converging = await convergence();
    const { json: event } = await plane.call('GET', '/events/2');
    assert.deepEqual([converging['state'], converging['share']], ['converging', 0.5]);
    const [ahead, behind] = rows(converging, 'proxies');
    assert.deepEqual([ahead?.['behind'], ahead?.['behind_since']], [0, null]);
    assert.deepEqual([behind?.['behind'], behind?.['behind_since']], [1, event['occurred_at']]);

    const rejected = { position: 2, reason: 'delta has an unknown form' };
    await report('b', { appliedPosition: 1, rejected });
    const stuck = await convergence();
    assert.equal(stuck['state'], 'stuck');
    assert.deepEqual(rows(stuck, 'proxies')[1]?.['rejected'], rejected);
  });

  it('counts a proxy as lost after proxy_lost_after of 2 s', async () => {
    await report('b', { appliedPosition: 1 });
    const sentMs = performance.now();
    await eventually('it is lost', async () => {
      await report('a', { appliedPosition: 2 });
      return (await convergence())['lost'] === 1;
    });
    const afterMs = performance.now() - sentMs;
    assert.ok(afterMs >= 1_990 && afterMs < 4_000, `${afterMs} ms`);
    const now = await convergence();
    assert.deepEqual([now['state'], now['live'], now['reached']], ['converged', 1, 1]);
    sendReport(plane.bus, 'b', { phase: 'stopped' });
  });
});

describe('a tenant', () => {
  it('is summed over all proxies, its percentiles of all that they counted', async () => {
    const fast = { tenant: 'acme', ...NONE, queries: 900, queryTimes: took(0.001, 900) };
    const slow = { tenant: 'Acme', ...counts, queries: 100, queryTimes: took(0.5, 100) };
    await report('a', { appliedPosition: 2, pools: [poolReport('acme')], tenants: [fast] });
    await report('b', {
      appliedPosition: 2,
      pools: [poolReport('acme', { active: 4, idle: 1, total: 6, waiting: 2 })],
      tenants: [{ ...slow, acquireTimes: took(0.1, 8) }],
    });
    const { json } = await plane.call('GET', '/tenants/acme/stats');
    assert.deepEqual(
      [
        'active',
        'idle',
        'total',
        'waiting',
        'utilisation',
        'max_connections',
        'queries',
        'pins',
      ].map((name) => json[name]),
      [5, 3, 9, 2, 0.3, 20, 1_000, 3],
    );
    const of = (all: Fields, name: string) => all[name] as Record<string, number>;
    const { count, p50 = 0, p95 = 0 } = of(json, 'query_ms');
    assert.ok(count === 1_000 && Math.abs(p50 - 1) < 0.15, `p50 ${p50}`);
    // Of 1,000 queries 100 took 500 ms: no average of two p95s would be near.
    assert.ok(Math.abs(p95 - 500) < 65, `p95 ${p95}`);
    assert.equal(of(json, 'acquire_ms')['count'], 8);
    const [onA, onB] = rows(json, 'proxies');
    assert.ok(onA !== undefined && onB !== undefined);
    assert.ok((of(onA, 'query_ms')['p99'] ?? 0) < 1.2 && onA['acquire_ms'] === null);
    assert.deepEqual([onA['utilisation'], onB['utilisation']], [0.05, 0.25]);

    const list = rows((await plane.call('GET', '/tenants')).json, 'tenants');
    const [acme, idle] = list.map(({ stats }) => stats as Fields);
    assert.deepEqual(acme?.['query_ms'], json['query_ms']);
    assert.deepEqual([idle?.['query_ms'], idle?.['utilisation']], [null, 0]);
  });
});

describe('the progress of an operation', () => {
  const progress = async () => (await plane.call('GET', '/tenants/acme/progress')).json;

  it('is told with the answer, and goes on from there on each proxy', async () => {
    const { json } = await plane.call('POST', '/tenants/acme/drain');
    const told = json['progress'] as Fields;
    assert.deepEqual(
      rows(told, 'proxies').map(({ proxy, state, done }) => [proxy, state, done]),
      [
        ['a', 'behind', false],
        ['b', 'behind', false],
      ],
    );
    const appliedPosition = 3;
    const since = '2026-11-22T03:00:00.000Z';
    const halted = { tenant: 'acme', clients: 0, connections: 0, since };
    await report('a', { appliedPosition, halted: [{ ...halted, state: 'drained' }] });
    await report('b', {
      appliedPosition,
      pools: [poolReport('acme')],
      halted: [{ ...halted, state: 'draining', clients: 5, connections: 3 }],
    });
    const now = await progress();
    assert.deepEqual(
      [now['state'], now['complete'], now['on_proxies']],
      ['draining', false, { reached: 1, live: 2 }],
    );
    const facts = { former_connections: 0, since };
    assert.deepEqual(rows(now, 'proxies'), [
      { proxy: 'a', state: 'drained', done: true, clients: 0, connections: 0, ...facts },
      { proxy: 'b', state: 'draining', done: false, clients: 5, connections: 3, ...facts },
    ]);
  });

  it('of a reconnect counts the connections that are being replaced', async () => {
    await plane.call('POST', '/tenants/acme/resume');
    const { json } = await plane.call('POST', '/tenants/acme/reconnect?dry_run=true');
    assert.equal(json['progress'], undefined);
    await plane.call('POST', '/tenants/acme/reconnect');
    const appliedPosition = 5;
    const former = poolReport('acme', { state: 'draining', total: 2, active: 2, idle: 0 });
    await report('a', { appliedPosition, pools: [poolReport('acme'), former] });
    await report('b', { appliedPosition, pools: [poolReport('acme')] });
    const now = await progress();
    assert.deepEqual(
      rows(now, 'proxies').map((one) => [
        one['done'],
        one['connections'],
        one['former_connections'],
      ]),
      [
        [false, 5, 2],
        [true, 3, 0],
      ],
    );
    await report('a', { appliedPosition, pools: [poolReport('acme')] });
    assert.equal((await progress())['complete'], true);
  });

  it('of an answer that waited is that of its moment, not of the write', async () => {
    const paused = plane.call('POST', '/tenants/acme/pause?wait=applied&timeout=10s');
    await eventually('it is written', async () => (await progress())['state'] === 'paused');
    const halted = [{ tenant: 'acme', state: 'paused' as const, clients: 1, connections: 0 }];
    for (const proxy of ['a', 'b']) await report(proxy, { appliedPosition: 6, halted });
    const { json, status } = await paused;
    assert.deepEqual([status, (json['progress'] as Fields)['complete']], [200, true]);
  });
});
