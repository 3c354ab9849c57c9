/**
 * init_sql: what a tenant wants run at the beginning of each session, on a real server.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'init secret';
const INIT_SQL = `SET DateStyle = 'German, DMY'; SET work_mem = '7MB'; -- the end`;
let cluster: PostgresCluster;
let proxy: TestProxy;

function tenant(id: string, initSql: string): TestTenant {
  const pool = { poolMode: 'transaction', maxConnections: 1, minConnections: 0 } as const;
  const { port } = cluster;
  return {
    id,
    port,
    database: 'postgres',
    username: 'postgres',
    password: PASSWORD,
    pool,
    initSql,
  };
}

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  proxy = await TestProxy.start({ tenants: [tenant('acme', INIT_SQL)] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

const connect = (parameters: Readonly<Record<string, string>> = {}, database = 'acme') =>
  RawClient.login(proxy, { user: 'postgres', password: PASSWORD, database, parameters });

async function ask(client: RawClient, sql: string): Promise<string[]> {
  client.send(query(sql));
  return firstColumns(await client.until('Z'));
}

const WORK_MEM = `SELECT current_setting('work_mem') || ' ' || pg_backend_pid()`;

describe('init_sql', () => {
  it('has run before the first client, whose greeting shows what it set', async () => {
    const client = await connect();
    assert.equal(client.parameter('DateStyle'), 'German, DMY');
    assert.deepEqual(await ask(client, 'SHOW work_mem'), ['7MB']);
    assert.deepEqual(await ask(client, 'SHOW DateStyle'), ['German, DMY']);
    client.end();
  });

  it('runs again when a dirty connection is cleaned, on the same connection', async () => {
    const client = await connect();
    const [before] = await ask(client, WORK_MEM);
    await ask(client, `DO $$ BEGIN PERFORM set_config('work_mem', '9MB', false); END $$`);
    const [afterwards] = await ask(client, WORK_MEM);
    assert.equal(afterwards, before);
    assert.match(String(before), /^7MB /);
    client.end();
  });

  it('is what a parameter goes back to when the client that had set it is gone', async () => {
    const other = await connect({ work_mem: '11MB', datestyle: 'ISO, MDY' });
    const [theirs] = await ask(other, WORK_MEM);
    assert.match(String(theirs), /^11MB /);
    const client = await connect();
    const [own] = await ask(client, WORK_MEM);
    assert.equal(own, String(theirs).replace('11MB', '7MB'), 'the same server connection');
    assert.deepEqual(await ask(client, 'SHOW DateStyle'), ['German, DMY']);
    assert.deepEqual(await ask(other, 'SHOW DateStyle'), ['ISO, MDY']);
    client.end();
    other.end();
  });

  it("that fails is told to the client in the database's words", async () => {
    await proxy.setTenant(tenant('broken', 'SET no_such_parameter = 1'));
    await assert.rejects(connect({}, 'broken'), /42704: unrecognized configuration parameter/);
  });

  it('that leaves a transaction open is refused', async () => {
    await proxy.setTenant(tenant('open', 'BEGIN'));
    await assert.rejects(connect({}, 'open'), /25001: init_sql leaves a transaction open/);
  });

  it('that changes makes a new pool: the next transaction sees the new one', async () => {
    const client = await connect();
    const [before] = await ask(client, WORK_MEM);
    await proxy.setTenant(tenant('acme', `SET work_mem = '13MB'`));
    const [now] = await ask(client, WORK_MEM);
    assert.match(String(now), /^13MB /);
    assert.notEqual(now, String(before).replace('7MB', '13MB'));
    client.end();
  });
});

describe('cancel_wait_timeout', () => {
  it('ends a reset that does not end, so that the next client is served', async () => {
    // The cleaning runs init_sql, which hangs the second time.
    await cluster.sql('postgres', 'CREATE SEQUENCE begun');
    const initSql = `SELECT pg_sleep(CASE nextval('begun') WHEN 2 THEN 60 ELSE 0 END)`;
    const { pool, ...slow } = tenant('slow', initSql);
    await proxy.setTenant({ ...slow, pool: { ...pool, cancelWaitTimeoutMs: 200 } });
    const client = await connect({}, 'slow');
    assert.deepEqual(await ask(client, 'SELECT 1'), ['1']);
    await ask(client, 'DO $$ BEGIN NULL; END $$');
    assert.deepEqual(await ask(client, 'SELECT 2'), ['2']);
    const [row] = await cluster.sql('postgres', 'SELECT last_value::int AS n FROM begun');
    const begun = Number(row?.['n']);
    assert.ok(begun >= 3, 'the login, the reset that was cut, the login after it');
    client.end();
  });
});

describe('server_login_timeout', () => {
  it('bounds init_sql too, and the client reads its name', async () => {
    const { pool, ...stuck } = tenant('stuck', 'SELECT pg_sleep(60)');
    await proxy.setTenant({ ...stuck, pool: { ...pool, serverLoginTimeoutMs: 200 } });
    await assert.rejects(connect({}, 'stuck'), /08001: .*server_login_timeout \(200 ms\)/);
  });
});
