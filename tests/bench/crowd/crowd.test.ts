/** Crowds before a real PostgreSQL that takes fewer clients than come. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { eventually } from '../../support/eventually.ts';
import { churn, gather } from './crowd.ts';
import { CrowdRun } from './crowd-run.ts';
import type { CrowdPlan } from './crowd-run.ts';

/** Three more are kept for superusers. */
const TAKEN = 10;
const LOGIN = { user: 'crowd', password: 'crowd', database: 'postgres' };
let cluster: PostgresCluster;
let plan: CrowdPlan;

before(async () => {
  cluster = await startPostgresCluster({
    superuserPassword: 'secret',
    maxConnections: TAKEN + 3,
    hba: ['host all all 127.0.0.0/8 scram-sha-256'],
  });
  await cluster.sql('postgres', `CREATE ROLE crowd LOGIN PASSWORD 'crowd'`);
  plan = {
    host: cluster.host,
    port: cluster.port,
    clients: TAKEN,
    logins: [LOGIN],
    sql: 'SELECT 1',
    seconds: 1,
    rate: 100,
    patienceMs: 5_000,
  };
});
// Who has left keeps his place until his backend has ended.
beforeEach(async () => {
  const present = `SELECT count(*) FROM pg_stat_activity WHERE usename = 'crowd'`;
  await eventually('the crowd of before has left', async () => {
    const [row] = await cluster.sql('postgres', present);
    return Number(row?.['count']) === 0;
  });
});
after(() => cluster.remove());

describe('a crowd', () => {
  it('in a process of its own logs in, asks at its rate, and leaves', async () => {
    const crowd = await gather(plan);
    const result = await crowd.ask();
    assert.equal(result.loggedIn, TAKEN);
    assert.equal(result.served, TAKEN);
    assert.equal(result.failures, 0, JSON.stringify(result.words));
    // 100 a second, for the second that warms up and the one that counts. Who is late twice over,
    // on a machine that stands still for 200 ms, is asked once less.
    assert.ok(result.answers <= 200 && result.answers > 150, `${result.answers} answers`);
    assert.ok(result.latency.p50Ms > 0 && result.latency.maxMs < 1_000);
  });

  it('counts who is refused once, with the words, and asks on with the others', async () => {
    const run = new CrowdRun({ ...plan, clients: TAKEN + 5, rate: 'unlimited' });
    await run.come();
    const result = await run.ask();
    assert.equal(result.failures, 5);
    assert.equal(result.served, TAKEN);
    const told = result.words.reduce((sum, [, times]) => sum + times, 0);
    assert.equal(told, 5);
    for (const [words] of result.words) assert.match(words, /^53300: /);
    assert.ok(result.answers > 200);
  });

  it('counts who waits longer than its patience', async () => {
    const run = new CrowdRun({ ...plan, clients: 1, sql: 'SELECT pg_sleep(9)', patienceMs: 2_000 });
    await run.come();
    const { failures, answers, words } = await run.ask();
    assert.deepEqual({ failures, answers }, { failures: 1, answers: 0 });
    assert.deepEqual(words, [['not answered in time', 1]]);
  });
});

describe('clients that come and leave', () => {
  const visit = () => ({ ...plan, login: LOGIN, clients: 2 });

  it('are counted, each from its first packet to its answer', async () => {
    const { visits, latency } = await churn(visit());
    assert.ok(visits > 20, `${visits} visits`);
    assert.ok(latency.p50Ms > 0 && latency.p50Ms < 1_000);
  });

  it('fail with the words of the first who is refused', async () => {
    const login = { ...LOGIN, password: 'wrong' };
    await assert.rejects(churn({ ...visit(), login }), /28P01: password authentication failed/);
  });
});
