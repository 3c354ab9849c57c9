/**
 * A change of one tenant under load: new transactions go to the new target, running ones finish on
 * the old one, and nobody else notices (invariant 6).
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'swap secret';
const login = { user: 'app', password: PASSWORD };
const whichServer = query(`SELECT inet_server_port()`);
let here: PostgresCluster;
let there: PostgresCluster;
let proxy: TestProxy;

function tenant(id: string, port: number, password = PASSWORD, poolMode: PoolMode = 'transaction') {
  const pool = { poolMode, maxConnections: 3, minConnections: 0 };
  return { id, port, database: 'postgres', username: 'app', password, pool } satisfies TestTenant;
}

before(async () => {
  const options = { superuserPassword: PASSWORD };
  [here, there] = await Promise.all([startPostgresCluster(options), startPostgresCluster(options)]);
  for (const cluster of [here, there]) {
    await cluster.sql('postgres', `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
    await cluster.sql('postgres', 'CREATE DATABASE elsewhere');
  }
  proxy = await TestProxy.start({
    tenants: [tenant('acme', here.port), { ...tenant('other', here.port), database: 'elsewhere' }],
  });
});
after(async () => {
  await proxy.stop();
  await Promise.all([here.stop(), there.stop()]);
});

const connect = (database: string, password = PASSWORD) =>
  RawClient.login(proxy, { ...login, database, password });

async function portOf(client: RawClient): Promise<number> {
  client.send(whichServer);
  return Number(firstColumns(await client.until('Z'))[0]);
}

describe('a changed host or port', () => {
  it('moves new transactions at once and lets a running one finish where it began', async () => {
    await proxy.setTenant(tenant('acme', here.port));
    const running = await connect('acme');
    const idle = await connect('acme');
    const bystander = await connect('other');
    running.send(query('BEGIN; SELECT 1'));
    await running.until('Z');
    assert.equal(await portOf(idle), here.port);

    await proxy.setTenant(tenant('acme', there.port));
    assert.equal(await portOf(idle), there.port);
    assert.equal(await portOf(running), here.port);
    running.send(query('COMMIT'));
    await running.until('Z');
    assert.equal(await portOf(running), there.port);
    assert.equal(await portOf(bystander), here.port);

    for (const client of [running, idle, bystander]) client.end();
    await proxy.atRest();
    const left = await here.sql(
      'postgres',
      `SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'dbb:%' AND datname = 'postgres'`,
    );
    assert.equal(left.length, 0);
  });

  it('takes those in line along, in their order', async () => {
    await proxy.setTenant(tenant('acme', here.port));
    const clients = await Promise.all(Array.from({ length: 6 }, () => connect('acme')));
    const [holders, waiting] = [clients.slice(0, 3), clients.slice(3)];
    for (const holder of holders) {
      holder.send(query('BEGIN; SELECT 1'));
      await holder.until('Z');
    }
    for (const client of waiting) client.send(whichServer);
    await proxy.report(({ pools }) => pools.some((pool) => pool.waiting === 3));
    await proxy.setTenant(tenant('acme', there.port));
    for (const holder of holders) holder.send(query('COMMIT'));
    for (const client of waiting) {
      assert.deepEqual(firstColumns(await client.until('Z')), [String(there.port)]);
    }
    for (const client of clients) client.end();
    await proxy.atRest();
  });
});

describe('a login that waits for a server connection', () => {
  it('is taken along to the changed host or port', async () => {
    await proxy.setTenant(tenant('acme', here.port));
    const holders = await Promise.all(Array.from({ length: 3 }, () => connect('acme')));
    for (const holder of holders) {
      holder.send(query('BEGIN; SELECT 1'));
      await holder.until('Z');
    }
    // What the server makes of this parameter is not known before it is asked.
    const parameters = { DateStyle: 'German' };
    const loggedIn = RawClient.login(proxy, { ...login, database: 'acme', parameters });
    await proxy.report(({ pools }) => pools.some((pool) => pool.waiting === 1));
    await proxy.setTenant(tenant('acme', there.port));
    for (const holder of holders) holder.end();
    const client = await loggedIn;
    assert.equal(client.parameter('DateStyle'), 'German, DMY');
    assert.equal(await portOf(client), there.port);
    client.end();
    await proxy.atRest();
  });
});

describe('a changed password', () => {
  it('is asked of new clients, and used for new server connections', async () => {
    await proxy.setTenant(tenant('acme', here.port));
    const client = await connect('acme');
    await portOf(client);
    for (const cluster of [here, there]) {
      await cluster.sql('postgres', `ALTER ROLE app PASSWORD 'another'`);
    }
    await proxy.setTenant(tenant('acme', here.port, 'another'));
    assert.equal(await portOf(client), here.port);
    await assert.rejects(connect('acme'), /28P01/);
    const fresh = await connect('acme', 'another');
    assert.equal(await portOf(fresh), here.port);
    client.end();
    fresh.end();
    for (const cluster of [here, there]) {
      await cluster.sql('postgres', `ALTER ROLE app PASSWORD '${PASSWORD}'`);
    }
    await proxy.atRest();
  });
});

describe('changed limits', () => {
  it('hold for the clients that are connected, without a new connection', async () => {
    await proxy.setTenant(tenant('acme', here.port));
    const client = await connect('acme');
    client.send(query('BEGIN; SELECT pg_backend_pid()'));
    const [pid] = firstColumns(await client.until('Z'));
    await proxy.setPool('acme', { maxConnections: 1 });
    client.send(query('COMMIT'));
    await client.until('Z');
    client.send(query('SELECT pg_backend_pid()'));
    assert.deepEqual(firstColumns(await client.until('Z')), [pid]);
    const others = await Promise.all([connect('acme'), connect('acme')]);
    for (const other of others) other.send(query('SELECT pg_backend_pid()'));
    for (const other of others) {
      assert.deepEqual(firstColumns(await other.until('Z')), [pid], 'there is one left');
      other.end();
    }
    client.end();
    await proxy.atRest();
  });
});

describe('a removed tenant', () => {
  for (const poolMode of ['transaction', 'session'] as const) {
    it(`ends clients with 57P01, not within a transaction, in ${poolMode} mode`, async () => {
      await proxy.setTenant(tenant('brief', here.port, PASSWORD, poolMode));
      const idle = await connect('brief');
      const running = await connect('brief');
      const bystander = await connect('other');
      await portOf(idle);
      running.send(query('BEGIN; SELECT 1'));
      await running.until('Z');
      await proxy.removeTenant('brief');

      const [told] = await idle.until('E');
      assert.equal(told && fields(told)['C'], '57P01');
      assert.match((told && fields(told)['M']) ?? '', /tenant "brief" was removed/);
      await idle.closed();
      assert.equal(await portOf(running), here.port);
      running.send(query('COMMIT'));
      const messages = await running.until('E');
      assert.ok(
        messages.some(({ type }) => type === 'C'),
        'COMMIT was answered',
      );
      await running.closed();
      await assert.rejects(connect('brief'), /28P01/);
      assert.equal(await portOf(bystander), here.port);
      bystander.end();
      await proxy.atRest();
    });
  }
});
