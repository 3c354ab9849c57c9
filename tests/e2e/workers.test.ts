/**
 * One proxy of two worker processes under a supervisor that shares its process with the control
 * plane: what clients see while workers are replaced, killed, and hang, and at the end of all.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { DatabaseError } from 'pg';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { stopEndless } from '../support/endless.ts';
import { eventually } from '../support/eventually.ts';
import { acceptedBy, childrenOf, freeze, queuedAt } from '../support/process-sockets.ts';
import { metric } from '../support/proxy-metrics.ts';
import { ApiClient } from './api-client.ts';
import { countOutcomes, Openers } from './openers.ts';
import { ask, begin, connect, disconnect, disconnectAll, OneShots } from './sql-clients.ts';
import type { Login } from './sql-clients.ts';

const PASSWORD = 'workers secret';
const API_KEY = 'a-key-of-the-tests-0123456789';
const WHICH_DATABASE = 'SELECT current_database()';
const OPENERS = 24;

let cluster: PostgresCluster;
let up: DbbouncerProcess;
let api: ApiClient;

tellLogsOfFailures();

before(async () => {
  [cluster, up] = await Promise.all([
    startPostgresCluster({ superuserPassword: PASSWORD }),
    DbbouncerProcess.start({
      command: 'up',
      args: ['--workers', '2', '--proxy-id', 'eu'],
      env: {
        DBBOUNCER_API_KEY: API_KEY,
        DBBOUNCER_WORKER_HEARTBEAT_TIMEOUT: '2s',
        DBBOUNCER_LOGIN_THROTTLE_FAILURES: '0',
      },
    }),
  ]);
  api = new ApiClient(up.apiUrl, API_KEY);
  await api.addTenant({
    id: 'acme',
    port: cluster.port,
    dbname: 'postgres',
    username: 'postgres',
    password: PASSWORD,
    pool_mode: 'transaction',
    min_connections: 0,
  });
  await bothServe();
});
afterEach(async () => {
  await Promise.all([stopEndless(), disconnectAll()]);
  if (up.isRunning) await bothServe();
});
after(async () => {
  await up.stop();
  await cluster.remove();
});

const login = (): Login => ({
  port: up.postgresPort,
  tenant: 'acme',
  user: 'postgres',
  password: PASSWORD,
});
const metrics = () => ({ metricsUrl: `${up.metricsUrl}/metrics` });
const count = (name: string, labels?: Readonly<Record<string, string>>) =>
  metric(metrics(), name, labels);
const ends = (reason: string) => count('dbbouncer_worker_ends_total', { reason });

/** Resolves when two workers serve the newest config. */
async function bothServe(): Promise<void> {
  await eventually('two workers serve the newest config', async () => {
    const { proxies } = await api.fleet();
    const current = proxies.filter(({ status, behind }) => status === 'live' && behind === 0);
    return current.length >= 2 && (await count('dbbouncer_workers', { state: 'serving' })) === 2;
  });
}

/** Replaces both; resolves when that is done. */
async function replaceWorkers(): Promise<void> {
  const before = await ends('replaced');
  process.kill(up.pid, 'SIGUSR2');
  const done = async () => (await ends('replaced')) === before + 2;
  await eventually('all workers are replaced', done, { withinMs: 20_000 });
}

describe('SIGUSR2', { timeout: 60_000 }, () => {
  it('replaces both workers while 1,000 clients connect, and refuses and resets none', async () => {
    const before = new Set(childrenOf(up.pid));
    const openers = Openers.start(up.postgresPort, OPENERS);
    const asking = OneShots.start(login(), 4, 'postgres');
    await openers.more(100);
    await replaceWorkers();
    await openers.more(1_000);
    const all = await openers.stop();
    const asked = await asking.stop();
    assert.deepEqual(countOutcomes(all), { answered: all.length });
    assert.ok(all.length >= 1_100);
    assert.ok(asked > 10, `${asked} one-shot clients`);
    assert.equal(await ends('replaced'), 2);
    assert.ok(childrenOf(up.pid).every((pid) => !before.has(pid)));
    assert.doesNotMatch(up.log, /"level":"error"/);
  });

  it('lets a transaction end on the worker it began on, and tells idle clients 57P01', async () => {
    const inTransaction = await Promise.all([login(), login(), login()].map(connect));
    const idle = await Promise.all([login(), login(), login()].map(connect));
    for (const client of inTransaction) await begin(client);
    const told = idle.map(
      (client) => new Promise<Error>((resolve) => client.once('error', resolve)),
    );
    const replaced = replaceWorkers();
    // It may be the one that has no idle clients.
    const isDraining = async () => (await count('dbbouncer_workers', { state: 'draining' })) === 1;
    await eventually('the first one is told to end', isDraining);
    for (const client of inTransaction) {
      assert.equal((await client.query('COMMIT')).command, 'COMMIT');
    }
    for (const error of await Promise.all(told)) {
      assert.ok(error instanceof DatabaseError);
      assert.equal(error.code, '57P01');
    }
    await replaced;
  });
});

describe('kill -9 of a worker', { timeout: 60_000 }, () => {
  it('resets the clients it had accepted, and of 1,000 others that connect, none', async () => {
    const [victim = 0] = childrenOf(up.pid);
    const openers = Openers.start(up.postgresPort, OPENERS);
    await openers.more(200);
    // It stands still, so that what it has accepted is what it had when it was killed.
    await freeze(victim);
    const accepted = acceptedBy(victim, up.postgresPort);
    process.kill(victim, 'SIGKILL');
    await openers.more(1_000);
    const all = await openers.stop();
    const { answered: _, reset: __, ...others } = countOutcomes(all);
    assert.deepEqual(others, {}, 'nobody is refused, told an error or left without a word');
    const foreign = all.filter((one) => one.outcome === 'reset' && !accepted.has(one.localPort));
    assert.deepEqual(foreign, [], 'only clients that the killed worker had accepted are reset');
    await eventually('it is counted', async () => (await ends('crashed')) === 1);
  });

  it('of both at once keeps those who connect in line until the next ones serve', async () => {
    const victims = childrenOf(up.pid);
    assert.equal(victims.length, 2);
    for (const victim of victims) await freeze(victim);
    const openers = Openers.start(up.postgresPort, OPENERS);
    const inLine = () => queuedAt(up.postgresPort) === OPENERS;
    await eventually('all of them wait to be accepted', inLine);
    for (const victim of victims) process.kill(victim, 'SIGKILL');
    await openers.more(1_000);
    const all = await openers.stop();
    assert.deepEqual(countOutcomes(all), { answered: all.length });
    assert.equal(await ask(login(), WHICH_DATABASE), 'postgres');
  });

  it('lets no counter fall, and comes back under the ids of those that were killed', async () => {
    for (let n = 0; n < 8; n += 1) await ask(login(), WHICH_DATABASE);
    const counted = () => count('dbbouncer_query_duration_seconds_count', { tenant: 'acme' });
    const before = await counted();
    assert.ok(before >= 8);
    for (const victim of childrenOf(up.pid)) process.kill(victim, 'SIGKILL');
    await bothServe();
    await ask(login(), WHICH_DATABASE);
    assert.ok((await counted()) >= before + 1);
    // Also where they had been replaced before: whoever comes takes the id of one that was killed.
    const { proxies } = await api.fleet();
    assert.equal(proxies.length, 2, JSON.stringify(proxies));
    assert.ok(proxies.every(({ id }) => /^eu-[123]$/.test(id)));
  });
});

describe('a worker that stands still', { timeout: 30_000 }, () => {
  it('is killed once it has given no sign of life for 2 s; others serve meanwhile', async () => {
    const [victim = 0] = childrenOf(up.pid);
    await freeze(victim);
    const asking = OneShots.start(login(), 1, 'postgres');
    await eventually('it is killed', async () => (await ends('unresponsive')) === 1);
    await bothServe();
    assert.ok((await asking.stop()) > 0);
    assert.match(up.log, /no sign of life for 3000 ms, 2000 are allowed/);
  });
});

describe('one port for the metrics of all', () => {
  it('shows clients as a sum and by worker, and is ready', async () => {
    const clients = await Promise.all(Array.from({ length: 9 }, () => connect(login())));
    await eventually('9 clients', async () => {
      const [sum, byWorker] = [count('dbbouncer_clients'), count('dbbouncer_worker_clients')];
      return (await sum) === 9 && (await byWorker) === 9;
    });
    assert.equal((await fetch(`${up.metricsUrl}/ready`)).status, 200);
    await Promise.all(clients.map(disconnect));
    await eventually('no client', async () => (await count('dbbouncer_clients')) === 0);
  });
});

describe('kill -9 of the supervisor', { timeout: 30_000 }, () => {
  it('closes the port, lets a transaction commit, and leaves no worker', async () => {
    const client = await connect(login());
    await begin(client);
    const workers = childrenOf(up.pid);
    assert.equal(workers.length, 2);
    const gone = up.kill();
    await eventually('nobody listens on the port', async () => {
      const error = await connect(login()).catch(({ code }: { code?: string }) => code);
      return error === 'ECONNREFUSED';
    });
    assert.equal((await client.query('COMMIT')).command, 'COMMIT');
    // The workers have its standard error too, so it counts as gone when they are.
    await gone;
    assert.match(up.log, /the supervisor is gone: this worker drains, and ends/);
    await up.start();
    await bothServe();
    assert.equal(await ask(login(), WHICH_DATABASE), 'postgres');
  });
});

describe('SIGTERM', { timeout: 30_000 }, () => {
  it('turns /ready, refuses newcomers, tells idle clients, lets a transaction commit', async () => {
    const inTransaction = await connect(login());
    await begin(inTransaction);
    const idle = await connect(login());
    const told = new Promise<Error>((resolve) => idle.once('error', resolve));
    const stopped = up.stop();
    const error = await told;
    assert.ok(error instanceof DatabaseError);
    assert.equal(error.code, '57P01');
    const ready = await fetch(`${up.metricsUrl}/ready`);
    assert.deepEqual(await ready.json(), { status: 'not_ready', reason: 'draining' });
    const health = await fetch(`${up.metricsUrl}/health`);
    assert.equal(health.status, 200);
    await assert.rejects(connect(login()), { code: 'ECONNREFUSED' });
    assert.equal((await inTransaction.query('COMMIT')).command, 'COMMIT');
    await stopped;
  });
});
