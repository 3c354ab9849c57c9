/**
 * Clients that vanish in the middle of something: what they left is undone, and the next client
 * finds nothing of it.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import {
  bind,
  copyData,
  execute,
  firstColumns,
  flush,
  parse,
  query,
  RawClient,
  sync,
} from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { untilRunning } from './running-statements.ts';

const PASSWORD = 'gone secret';
const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const { port } = cluster;
  const pool = { poolMode: 'transaction', maxConnections: 1, minConnections: 0 } as const;
  const tenant = { port, database: 'postgres', username: 'postgres', password: PASSWORD };
  proxy = await TestProxy.start({ tenants: [{ id: 'acme', ...tenant, pool }] });
  await cluster.sql('postgres', 'CREATE TABLE left_behind (a int)');
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});
beforeEach(() => cluster.sql('postgres', 'TRUNCATE left_behind'));

async function rowsLeft(): Promise<number> {
  const [row] = await cluster.sql('postgres', 'SELECT count(*)::int AS n FROM left_behind');
  return Number(row?.['n']);
}

/** The one server connection works for the next client, outside of any transaction. */
async function nextClientIsServed(): Promise<void> {
  const next = await RawClient.login(proxy, login);
  next.send(query('SELECT txid_current_if_assigned() IS NULL'));
  assert.deepEqual(firstColumns(await next.until('Z')), ['t']);
  next.end();
  await proxy.atRest();
}

describe('a client that vanishes', () => {
  it('between the statements of a transaction has it rolled back', async () => {
    const client = await RawClient.login(proxy, login);
    client.send(query('BEGIN'));
    await client.until('Z');
    client.send(query('INSERT INTO left_behind VALUES (1)'));
    await client.until('Z');
    client.destroy();
    await nextClientIsServed();
    assert.equal(await rowsLeft(), 0);
  });

  it('during a statement of a transaction has it cancelled and rolled back', async () => {
    const client = await RawClient.login(proxy, login);
    client.send(query('BEGIN'));
    await client.until('Z');
    client.send(query('INSERT INTO left_behind SELECT 1 FROM pg_sleep(60)'));
    await untilRunning(cluster, 'pg_sleep(60)');
    client.destroy();
    await nextClientIsServed();
    assert.equal(await rowsLeft(), 0);
  });

  it('during a statement in autocommit lets it finish', async () => {
    const client = await RawClient.login(proxy, login);
    client.send(query('INSERT INTO left_behind SELECT 1 FROM pg_sleep(0.4)'));
    await untilRunning(cluster, 'pg_sleep(0.4)');
    client.destroy();
    await nextClientIsServed();
    assert.equal(await rowsLeft(), 1);
  });

  it('in the middle of COPY has nothing of it stored', async () => {
    const client = await RawClient.login(proxy, login);
    client.send(query('COPY left_behind FROM STDIN'));
    await client.until('G');
    client.send(copyData('1\n2\n'));
    client.destroy();
    await nextClientIsServed();
    assert.equal(await rowsLeft(), 0);
  });

  it('before its COPY has begun has the COPY ended when it begins', async () => {
    const client = await RawClient.login(proxy, login);
    client.send(query('COPY left_behind FROM STDIN'));
    client.destroy();
    await nextClientIsServed();
    const other = await RawClient.login(proxy, login);
    other.send(Buffer.concat([parse('COPY left_behind FROM STDIN'), bind(), execute()]));
    other.destroy();
    await nextClientIsServed();
    assert.equal(await rowsLeft(), 0);
  });

  it('in the middle of COPY within a transaction has nothing of it stored', async () => {
    const client = await RawClient.login(proxy, login);
    client.send(query('BEGIN'));
    await client.until('Z');
    client.send(Buffer.concat([parse('COPY left_behind FROM STDIN'), bind(), execute(), sync()]));
    await client.until('G');
    client.send(copyData('1\n2\n'));
    client.destroy();
    await nextClientIsServed();
    assert.equal(await rowsLeft(), 0);
  });

  it('behind a Flush, without ever sending the Sync, has its batch ended', async () => {
    const client = await RawClient.login(proxy, login);
    const insert = parse('INSERT INTO left_behind VALUES (7)');
    client.send(Buffer.concat([insert, bind(), execute(), flush()]));
    await client.until('C');
    client.destroy();
    await nextClientIsServed();
  });

  it('in the middle of a message costs its server connection, and others nothing', async () => {
    const client = await RawClient.login(proxy, login);
    client.send(query('BEGIN'));
    await client.until('Z');
    const long = query(`INSERT INTO left_behind SELECT ${'1'.repeat(600_000)}`);
    client.send(long.subarray(0, 400_000));
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.destroy();
    await nextClientIsServed();
    assert.equal(await rowsLeft(), 0);
  });

  it('in the middle of a message behind two long statements has them ended first', async () => {
    const client = await RawClient.login(proxy, login);
    client.send(Buffer.concat([query('SELECT pg_sleep(60)'), query('SELECT pg_sleep(61)')]));
    await untilRunning(cluster, 'pg_sleep(60)');
    const beside = query('SELECT 1');
    client.send(beside.subarray(0, beside.length - 2));
    client.destroy();
    const next = await RawClient.login(proxy, login);
    const count = `SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dbb:%'`;
    next.send(query(count));
    assert.deepEqual(firstColumns(await next.until('Z')), ['1'], 'max_connections is 1');
    next.end();
    await proxy.atRest();
  });

  it('while it waits in line leaves the line', async () => {
    const holder = await RawClient.login(proxy, login);
    holder.send(query('BEGIN; SELECT 1'));
    await holder.until('Z');
    const waiting = await RawClient.login(proxy, login);
    waiting.send(query('SELECT 1'));
    await proxy.report(({ pools }) => pools.some((pool) => pool.waiting === 1));
    waiting.destroy();
    await proxy.report(({ pools }) => pools.every((pool) => pool.waiting === 0));
    holder.send(query('ROLLBACK'));
    await holder.until('Z');
    holder.end();
    await nextClientIsServed();
  });

  it('with Terminate behind its last statement leaves nothing held', async () => {
    const client = await RawClient.login(proxy, login);
    client.send(query('INSERT INTO left_behind VALUES (3)'));
    client.end();
    await client.closed();
    await nextClientIsServed();
    assert.equal(await rowsLeft(), 1);
  });
});

describe('a server connection that is lost', () => {
  it("ends its client with the server's FATAL message; the next client gets another", async () => {
    const client = await RawClient.login(proxy, login);
    client.send(query('BEGIN; SELECT 1'));
    await client.until('Z');
    await cluster.sql(
      'postgres',
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dbb:%'`,
    );
    const error = (await client.until('E')).at(-1);
    assert.match(error?.body.toString() ?? '', /57P01/);
    await client.closed();
    await nextClientIsServed();
  });

  it('by a crash of the server ends clients in a transaction and spares idle ones', async () => {
    const idle = await RawClient.login(proxy, login);
    const client = await RawClient.login(proxy, login);
    client.send(query('BEGIN; SELECT 1'));
    await client.until('Z');
    await cluster.restart('immediate');
    const error = (await client.until('E')).at(-1);
    assert.match(error?.body.toString() ?? '', /FATAL/);
    await client.closed();
    idle.send(query('SELECT 5'));
    assert.deepEqual(firstColumns(await idle.until('Z')), ['5']);
    idle.end();
    await proxy.atRest();
  });
});
