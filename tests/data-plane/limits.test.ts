/**
 * Many clients on few server connections: who is served, in which order, and what the others read.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'limit secret';
const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD };
  const transaction = { poolMode: 'transaction', maxConnections: 5 } as const;
  proxy = await TestProxy.start({
    tenants: [
      { id: 'acme', database: 'postgres', ...tenant, pool: { ...transaction, minConnections: 1 } },
      {
        id: 'busy',
        database: 'postgres',
        ...tenant,
        pool: { ...transaction, maxConnections: 1, minConnections: 0, acquireTimeoutMs: 300 },
      },
    ],
  });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

describe('200 clients on a pool of 5', () => {
  it('serves them all in order of arrival, on 5 server connections at most', async () => {
    await cluster.sql('postgres', 'CREATE SEQUENCE served');
    const clients = await inPortions(200, () => RawClient.login(proxy, login));
    const holders = clients.slice(0, 5);
    for (const holder of holders) holder.send(query('BEGIN; SELECT 1'));
    await Promise.all(holders.map((holder) => holder.until('Z')));

    // One after the other, each in line before the next one asks.
    const waiting = clients.slice(5);
    for (const client of waiting) {
      client.send(query(`SELECT nextval('served')`));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { pools } = await proxy.report((report) => report.pools.some((p) => p.waiting === 195));
    assert.equal(pools[0]?.total, 5);

    // Only one server connection is freed, so that order can be seen.
    holders[0]?.send(query('COMMIT'));
    const served: number[] = [];
    for (const client of waiting) served.push(Number(firstColumns(await client.until('Z'))[0]));
    assert.deepEqual(
      served,
      served.toSorted((a, b) => a - b),
    );

    for (const holder of holders.slice(1)) holder.send(query('COMMIT'));
    for (const client of clients) client.end();
    await proxy.atRest();
    const [row] = await cluster.sql(
      'postgres',
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE 'dbb:%'`,
    );
    assert.ok(Number(row?.['n']) <= 5);
  });
});

describe('acquire_timeout', () => {
  it('tells a client that waited 300 ms the tenant, limit and setting; it goes on', async () => {
    const busy = { ...login, database: 'busy' };
    const [holder, client] = await inPortions(2, () => RawClient.login(proxy, busy));
    holder?.send(query('BEGIN; SELECT 1'));
    await holder?.until('Z');

    client?.send(query('SELECT 1'));
    const [error, ready] = (await client?.until('Z')) ?? [];
    assert.ok(error !== undefined && ready?.type === 'Z');
    const { C, M, S, H } = fields(error);
    assert.deepEqual({ C, S }, { C: '53300', S: 'ERROR' });
    assert.match(M ?? '', /tenant "busy"/);
    assert.match(M ?? '', /acquire_timeout \(300 ms\)/);
    assert.match(M ?? '', /1 of max_connections/);
    assert.ok((H ?? '').length > 0);

    holder?.send(query('COMMIT'));
    await holder?.until('Z');
    client?.send(query('SELECT 2'));
    assert.deepEqual(firstColumns((await client?.until('Z')) ?? []), ['2']);
    holder?.end();
    client?.end();
    await proxy.atRest();
  });
});

/** At most 20 logins at once: they are not what is measured. */
async function inPortions<T>(count: number, make: () => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  while (made.length < count) {
    const portion = Math.min(20, count - made.length);
    made.push(...(await Promise.all(Array.from({ length: portion }, make))));
  }
  return made;
}
