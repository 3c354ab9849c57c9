/**
 * What operators do to a tenant, at a real proxy: pause, resume, drain, reconnect and kill, each
 * felt by its clients alone.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import { eventually } from '../support/eventually.ts';
import { untilAtRest, untilWaiting } from '../support/proxy-metrics.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { untilRunning } from './running-statements.ts';

const PASSWORD = 'operations secret';
const POOL = { poolMode: 'transaction', maxConnections: 3, minConnections: 0 } as const;
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
  await cluster.sql('postgres', 'CREATE DATABASE other');
  await cluster.sql('postgres', 'CREATE TABLE kept (a int)');
  await cluster.sql('postgres', 'GRANT ALL ON kept TO app');
  proxy = await TestProxy.start({ tenants: [tenant('bystander', 'other')] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});
beforeEach(async () => {
  await proxy.setTenant(tenant('acme', 'postgres'));
  await cluster.sql('postgres', 'TRUNCATE kept');
});

function tenant(id: string, database: string, pool: PoolOverrides = {}) {
  const login = { username: 'app', password: PASSWORD };
  return { id, port: cluster.port, database, ...login, pool: { ...POOL, ...pool } };
}

const connect = (id = 'acme') =>
  RawClient.login(proxy, { user: 'app', password: PASSWORD, database: id });

async function ask(client: RawClient, sql: string): Promise<string | undefined> {
  client.send(query(sql));
  return firstColumns(await client.until('Z'))[0];
}

async function begin(client: RawClient): Promise<void> {
  client.send(query('BEGIN; SELECT 1'));
  await client.until('Z');
}

/** Server connections of the proxy in the tenant's database, as the server counts them. */
async function serverConnections(): Promise<number> {
  const sql = `SELECT 1 FROM pg_stat_activity
    WHERE application_name LIKE 'dbb:%' AND datname = 'postgres'`;
  return (await cluster.sql('postgres', sql)).length;
}

/** What the proxy says of it, without the time. */
async function halted(state: string) {
  const report = await proxy.report(
    (sent) => sent.halted?.some((one) => one.tenant === 'acme' && one.state === state) === true,
  );
  return report.halted?.map(({ since, ...rest }) => {
    assert.ok(since !== undefined && since <= report.sentAt, 'it says since when');
    return rest;
  });
}

function errorIn(messages: readonly RawMessage[]): Readonly<Record<string, string>> {
  const error = messages.find(({ type }) => type === 'E');
  assert.ok(error !== undefined, 'an error was sent');
  return fields(error);
}

async function leave(...clients: readonly RawClient[]): Promise<void> {
  for (const client of clients) client.end();
  await untilAtRest(proxy);
}

describe('a paused tenant', () => {
  it('lets transactions finish, closes its server connections and keeps clients', async () => {
    const [running, idle, bystander] = [
      await connect(),
      await connect(),
      await connect('bystander'),
    ];
    await ask(idle, 'SELECT 1');
    await begin(running);
    await proxy.operate('acme', 'pause');
    await eventually('the idle one is closed', async () => (await serverConnections()) === 1);
    idle.send(query('SELECT 7'));
    await untilWaiting(proxy, 1);
    assert.equal(await ask(running, 'SELECT 5'), '5');
    assert.equal(await ask(bystander, 'SELECT 6'), '6');
    await ask(running, 'COMMIT');

    const report = await halted('paused');
    assert.deepEqual(report, [{ tenant: 'acme', state: 'paused', clients: 2, connections: 0 }]);
    assert.equal(await serverConnections(), 0);
    await proxy.operate('acme', 'resume');
    assert.deepEqual(firstColumns(await idle.until('Z')), ['7']);
    await leave(running, idle, bystander);
  });

  it('greets new clients without a server, whom it serves when it is resumed', async () => {
    const early = await connect();
    await proxy.operate('acme', 'pause');
    await halted('paused');
    await assert.rejects(
      RawClient.login(proxy, { user: 'app', password: 'wrong', database: 'acme' }),
      /28P01/,
    );
    const late = await connect();
    late.send(query('SELECT 8'));
    await untilWaiting(proxy, 1);
    await proxy.operate('acme', 'resume');
    assert.deepEqual(firstColumns(await late.until('Z')), ['8']);
    await leave(early, late);
  });

  it('stays paused over changes of its settings, and moves who waits with it', async () => {
    const client = await connect();
    await proxy.operate('acme', 'pause');
    client.send(query('SELECT 9'));
    await untilWaiting(proxy, 1);
    await proxy.operate('acme', 'reconnect');
    await proxy.setPool('acme', { maxConnections: 2 });
    await halted('paused');
    assert.equal(await serverConnections(), 0);
    await proxy.operate('acme', 'resume');
    assert.deepEqual(firstColumns(await client.until('Z')), ['9']);
    await leave(client);
  });

  it('tells a client that waited pause_wait_timeout of 200 ms, which then goes on', async () => {
    await proxy.setPool('acme', { pauseWaitTimeoutMs: 200 });
    const client = await connect();
    await proxy.operate('acme', 'pause');
    client.send(query('SELECT 1'));
    const { S, C, M, H } = errorIn(await client.until('Z'));
    assert.deepEqual([S, C], ['ERROR', '57P03']);
    assert.match(M ?? '', /tenant "acme" is paused, .* pause_wait_timeout \(200 ms\)/);
    assert.ok((H ?? '').length > 0);
    await proxy.operate('acme', 'resume');
    assert.equal(await ask(client, 'SELECT 2'), '2');
    await leave(client);
  });

  it('cancels the wait of a client that asks for it', async () => {
    const client = await connect();
    await proxy.operate('acme', 'pause');
    client.send(query('SELECT 1'));
    await untilWaiting(proxy, 1);
    const canceller = await RawClient.connect(proxy);
    canceller.cancel(client.key());
    await canceller.closed();
    assert.equal(errorIn(await client.until('Z'))['C'], '57014');
    await leave(client);
    await proxy.operate('acme', 'resume');
  });
});

describe('a drained tenant', () => {
  it('ends idle clients with 57P01, others after their transaction, and lets none in', async () => {
    const [running, idle, bystander] = [
      await connect(),
      await connect(),
      await connect('bystander'),
    ];
    await ask(idle, 'SELECT 1');
    await begin(running);
    await proxy.operate('acme', 'drain');
    const told = errorIn(await idle.until('E'));
    assert.deepEqual([told['S'], told['C']], ['FATAL', '57P01']);
    assert.match(told['M'] ?? '', /tenant "acme" is being drained/);
    await idle.closed();
    await assert.rejects(connect(), /57P03.*tenant "acme" is being drained/s);
    await assert.rejects(
      RawClient.login(proxy, { user: 'app', password: 'wrong', database: 'acme' }),
      /28P01/,
    );
    await ask(running, 'INSERT INTO kept VALUES (1)');
    running.send(query('COMMIT'));
    assert.equal(errorIn(await running.until('E'))['C'], '57P01');
    await running.closed();
    await halted('drained');
    assert.equal(await serverConnections(), 0);
    assert.equal((await cluster.sql('postgres', 'SELECT a FROM kept')).length, 1);

    await proxy.operate('acme', 'resume');
    const back = await connect();
    assert.equal(await ask(back, 'SELECT 3'), '3');
    await leave(back, bystander);
  });

  it('keeps clients that were still in a transaction when it was resumed', async () => {
    const running = await connect();
    await begin(running);
    await proxy.operate('acme', 'drain');
    await proxy.operate('acme', 'resume');
    await ask(running, 'COMMIT');
    assert.equal(await ask(running, 'SELECT 4'), '4');
    await leave(running);
  });

  it('serves who was in line before it ends them', async () => {
    await proxy.setPool('acme', { maxConnections: 1 });
    const [holder, waiting] = [await connect(), await connect()];
    await begin(holder);
    waiting.send(query('SELECT 5'));
    await untilWaiting(proxy, 1);
    await proxy.operate('acme', 'drain');
    await ask(holder, 'SELECT 1');
    holder.send(query('COMMIT'));
    await holder.closed();
    const messages = await waiting.until('E');
    assert.deepEqual(firstColumns(messages), ['5']);
    await waiting.closed();
    await proxy.operate('acme', 'resume');
    await leave();
  });
});

describe('a reconnect', () => {
  it('gives new connections to what begins after it, and ends none that is in use', async () => {
    const pid = 'SELECT pg_backend_pid()';
    const [running, idle] = [await connect(), await connect()];
    const before = await ask(idle, pid);
    await begin(running);
    const held = await ask(running, pid);
    await proxy.operate('acme', 'reconnect');
    const old = [before, held];
    assert.ok(!old.includes(await ask(idle, pid)));
    assert.equal(await ask(running, pid), held);
    await ask(running, 'COMMIT');
    const fresh = await ask(running, pid);
    assert.ok(!old.includes(fresh));
    const sql = `SELECT 1 FROM pg_stat_activity WHERE pid IN (${old.join()})`;
    const areClosed = async () => (await cluster.sql('postgres', sql)).length === 0;
    await eventually('the old ones are closed', areClosed);
    await proxy.operate('acme', 'reconnect');
    assert.notEqual(await ask(idle, pid), fresh);
    await leave(running, idle);
  });
});

describe('a kill', () => {
  it('ends every client with 57P01, undoes what they did and leaves nothing', async () => {
    await proxy.setPool('acme', { maxConnections: 3 });
    const clients = await Promise.all(Array.from({ length: 5 }, () => connect()));
    const [idle, inTransaction, sleeping, autocommit, waiting] = clients;
    assert.ok(idle && inTransaction && sleeping && autocommit && waiting);
    const bystander = await connect('bystander');
    await begin(inTransaction);
    await ask(inTransaction, 'INSERT INTO kept VALUES (1)');
    await begin(sleeping);
    sleeping.send(query('INSERT INTO kept SELECT 2 FROM pg_sleep(60)'));
    autocommit.send(query('INSERT INTO kept SELECT 3 FROM pg_sleep(61)'));
    await untilRunning(cluster, 'pg_sleep(60)');
    await untilRunning(cluster, 'pg_sleep(61)');
    waiting.send(query('SELECT 1'));
    await untilWaiting(proxy, 1);

    await proxy.operate('acme', 'kill');
    for (const client of clients) {
      const { S, C, M } = errorIn(await client.until('E'));
      assert.deepEqual([S, C], ['FATAL', '57P01']);
      assert.match(M ?? '', /every client of tenant "acme" was killed/);
      await client.closed();
    }
    await eventually('nothing runs', async () => {
      const sql = `SELECT 1 FROM pg_stat_activity
        WHERE application_name LIKE 'dbb:%' AND datname = 'postgres' AND state <> 'idle'`;
      return (await cluster.sql('postgres', sql)).length === 0;
    });
    assert.equal((await cluster.sql('postgres', 'SELECT a FROM kept')).length, 0);
    const back = await connect();
    assert.equal(await ask(back, 'SELECT 6'), '6');
    assert.equal(await ask(bystander, 'SELECT 7'), '7');
    await leave(back, bystander);
  });

  it('ends those who wait in a paused tenant, and leaves it paused', async () => {
    const waiting = await connect();
    await proxy.operate('acme', 'pause');
    waiting.send(query('SELECT 1'));
    await untilWaiting(proxy, 1);
    await proxy.operate('acme', 'kill');
    assert.equal(errorIn(await waiting.until('E'))['C'], '57P01');
    const report = await halted('paused');
    assert.equal(report?.[0]?.clients, 0);
    await proxy.operate('acme', 'resume');
    await leave();
  });
});
