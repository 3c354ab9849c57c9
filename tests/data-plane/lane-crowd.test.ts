/**
 * Many clients that begin at once: how many server connections they open before the shared lane
 * serves them all.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { untilAtRest } from '../support/proxy-metrics.ts';
import { firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'crowd secret';
const CLIENTS = 64;
const MAX_CONNECTIONS = 20;
/** A third of what there may be, as they would be used without the lane. */
const FEW = 6;
let cluster: PostgresCluster;
let proxy: TestProxy;
let clients: RawClient[] = [];

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  proxy = await TestProxy.start({ tenants: [] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});
afterEach(async () => {
  for (const client of clients) client.destroy();
  clients = [];
  await untilAtRest(proxy);
});

/** So many clients of a new tenant, none of whom has asked anything. */
async function arrive(id: string): Promise<void> {
  await cluster.sql('postgres', `CREATE DATABASE ${id}`);
  await proxy.setTenant({
    id,
    port: cluster.port,
    database: id,
    username: 'postgres',
    password: PASSWORD,
    pool: {
      poolMode: 'transaction',
      minConnections: 0,
      maxConnections: MAX_CONNECTIONS,
      leakDetector: 'off',
    },
  });
  const login = { user: 'postgres', password: PASSWORD, database: id };
  // The first asks the server what to greet all of them with.
  clients = [await RawClient.login(proxy, login)];
  const others = Array.from({ length: CLIENTS - 1 }, () => RawClient.login(proxy, login));
  clients.push(...(await Promise.all(others)));
}

async function serverConnections(id: string): Promise<number> {
  const sql = `SELECT pid FROM pg_stat_activity WHERE datname = '${id}'`;
  return (await cluster.sql('postgres', sql)).length;
}

describe('64 clients that begin at once', () => {
  it('read over no more than 6 server connections, from the first one on', async () => {
    await arrive('reading');
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(
        clients.map(async (client, at) => {
          client.send(query(`SELECT ${at}`));
          return firstColumns(await client.until('Z'));
        }),
      );
      assert.deepEqual(
        answers.map(([n]) => Number(n)),
        clients.map((_, at) => at),
      );
    }
    const used = await serverConnections('reading');
    assert.ok(used <= FEW, `${used} were opened`);
  });
});
