/**
 * How many clients a tenant may have on a proxy, counted from their authentication to whatever ends
 * them.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { eventually } from '../support/eventually.ts';
import { metric, untilAtRest } from '../support/proxy-metrics.ts';
import { firstColumns, query, RawClient, startup } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'limits secret';
const LIMIT = 3;
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const login = { port: cluster.port, username: 'postgres', password: PASSWORD };
  const pool = { poolMode: 'transaction', maxClientConnections: LIMIT } as const;
  proxy = await TestProxy.start({
    tenants: [
      { id: 'acme', ...login, database: 'postgres', pool },
      { id: 'free', ...login, database: 'template1' },
    ],
  });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

const connect = (database = 'acme', password = PASSWORD) =>
  RawClient.login(proxy, { user: 'postgres', password, database });
const clients = (tenant = 'acme') => metric(proxy, 'dbbouncer_tenant_clients', { tenant });

/** As many clients as the tenant may have. */
const fill = () => Promise.all(Array.from({ length: LIMIT }, () => connect()));

describe(`a tenant with max_client_connections ${LIMIT}`, () => {
  it('refuses its 4th client with 53300 naming tenant, count and limit', async () => {
    const refused = () => metric(proxy, 'dbbouncer_clients_refused_total', { limit: 'tenant' });
    const before = await refused();
    const held = await fill();
    await assert.rejects(
      connect(),
      /53300: too many clients: tenant "acme" has 3, and its max_client_connections is 3/,
    );
    const other = await connect('free');
    assert.deepEqual([await clients(), await clients('free')], [3, 1]);
    assert.equal((await refused()) - before, 1);
    for (const client of [...held, other]) client.end();
    await untilAtRest(proxy);
    assert.equal(await clients(), 0);
  });

  it('counts nobody who has not proved who he is', async () => {
    const open = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const client = await RawClient.connect(proxy);
        client.send(startup({ user: 'postgres', database: 'acme' }));
        await client.next();
        return client;
      }),
    );
    await assert.rejects(connect('acme', 'wrong'), /28P01/);
    const held = await fill();
    assert.equal(await clients(), LIMIT);
    for (const client of [...open, ...held]) client.destroy();
    await untilAtRest(proxy);
  });

  it('has a place free again after every kind of end', async () => {
    const ends: Readonly<Record<string, (client: RawClient) => unknown>> = {
      Terminate: (client) => client.end(),
      'a lost connection': (client) => client.destroy(),
      'bytes that are not the protocol': (client) => client.send(Buffer.from('nonsense')),
      'its statement ending it': (client) =>
        client.send(query('SELECT pg_terminate_backend(pg_backend_pid())')),
      'a lost connection in a transaction': async (client) => {
        client.send(query('BEGIN'));
        await client.until('Z');
        client.destroy();
      },
    };
    for (const [end, leave] of Object.entries(ends)) {
      const held = await fill();
      await leave(held[0] as RawClient);
      await eventually(`${end} frees a place`, async () => (await clients()) === LIMIT - 1);
      const next = await connect();
      next.send(query('SELECT 1'));
      assert.deepEqual(firstColumns(await next.until('Z')), ['1'], end);
      for (const client of [...held.slice(1), next]) client.end();
      await untilAtRest(proxy);
    }
  });

  it('has a place free again when a client leaves while it waits to be greeted', async () => {
    const login = { port: cluster.port, username: 'postgres', password: PASSWORD };
    await proxy.setTenant({ id: 'asleep', ...login, database: 'postgres' });
    // Paused, and never connected to: what a greeting says of the database is not known.
    await proxy.operate('asleep', 'pause');
    const client = await RawClient.connect(proxy);
    const greeting = client.authenticate({
      user: 'postgres',
      password: PASSWORD,
      database: 'asleep',
    });
    await eventually('it has its place', async () => (await clients('asleep')) === 1);
    client.destroy();
    await assert.rejects(greeting, /connection ended/);
    await eventually('its place is free', async () => (await clients('asleep')) === 0, {
      withinMs: 1_000,
    });
    await proxy.removeTenant('asleep');
    await untilAtRest(proxy);
  });

  it('ends nobody when the limit is lowered, and lets in again when it is raised', async () => {
    const held = await fill();
    await proxy.setPool('acme', { maxClientConnections: 1 });
    for (const client of held) {
      client.send(query('SELECT 1'));
      assert.deepEqual(firstColumns(await client.until('Z')), ['1']);
    }
    held.pop()?.end();
    await eventually('one has left', async () => (await clients()) === LIMIT - 1);
    await assert.rejects(connect(), /tenant "acme" has 2, and its max_client_connections is 1/);
    await proxy.setPool('acme', { maxClientConnections: 0 });
    const more = await Promise.all(Array.from({ length: 5 }, () => connect()));
    for (const client of [...held, ...more]) client.end();
    await untilAtRest(proxy);
  });
});
