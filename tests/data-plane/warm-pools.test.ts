/**
 * Connections that are opened before anybody waits for them: at the start of a proxy, for a new
 * tenant, in place of a pool that a change retires; and how many of them at once.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import { eventually } from '../support/eventually.ts';
import { untilAtRest } from '../support/proxy-metrics.ts';
import { firstColumns, query, RawClient } from '../support/raw-client.ts';
import { holdBack } from '../support/relays.ts';
import type { HeldRelay } from '../support/relays.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'warm secret';
let cluster: PostgresCluster;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
});
after(() => cluster.stop());

async function withProxy(
  tenants: readonly TestTenant[],
  env: Readonly<Record<string, string>>,
  use: (proxy: TestProxy) => Promise<void>,
): Promise<void> {
  const proxy = await TestProxy.start({ tenants, env });
  try {
    await use(proxy);
  } finally {
    await proxy.stop();
  }
}

function tenant(id: string, pool: PoolOverrides, port = cluster.port): TestTenant {
  const all = { poolMode: 'transaction', maxConnections: 10, ...pool } as const;
  return { id, port, database: 'postgres', username: 'postgres', password: PASSWORD, pool: all };
}

/** Server connections of the proxies, by the role of who holds them. */
async function open(): Promise<number> {
  const sql = `SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'dbb:%'`;
  return (await cluster.sql('postgres', sql)).length;
}

const untilOpen = (count: number) =>
  eventually(`${count} server connections are open`, async () => (await open()) === count);

const connect = (proxy: TestProxy, database: string) =>
  RawClient.login(proxy, { user: 'postgres', password: PASSWORD, database });

async function ask(client: RawClient, sql: string): Promise<string | undefined> {
  client.send(query(sql));
  return firstColumns(await client.until('Z'))[0];
}

describe('prewarm', () => {
  it('opens min_connections at the start of a proxy, for the tenants that want it', async () => {
    const tenants = [
      tenant('warm', { minConnections: 3, prewarm: 'on' }),
      tenant('cold', { minConnections: 3 }),
      tenant('none', { minConnections: 0, prewarm: 'on' }),
    ];
    await withProxy(tenants, {}, async (proxy) => {
      await untilOpen(3);
      const { pools } = await proxy.report((report) => report.pools.some(({ idle }) => idle === 3));
      assert.deepEqual(
        pools.map(({ tenant: id, total }) => [id, total]),
        [['warm', 3]],
      );
    });
    await untilOpen(0);
  });

  it('opens them for a tenant that comes later, or says so later', async () => {
    await withProxy([], {}, async (proxy) => {
      await proxy.setTenant(tenant('late', { minConnections: 2, prewarm: 'on' }));
      await untilOpen(2);
      await proxy.setTenant(tenant('other', { minConnections: 1 }));
      await proxy.setPool('other', { prewarm: 'on' });
      await untilOpen(3);
    });
  });

  it('keeps them when the server closes them, without any client', async () => {
    await withProxy([tenant('kept', { minConnections: 2, prewarm: 'on' })], {}, async () => {
      await untilOpen(2);
      const sql = `SELECT pid::text FROM pg_stat_activity WHERE application_name LIKE 'dbb:%'`;
      const before = (await cluster.sql('postgres', sql)).map(({ pid }) => pid);
      await cluster.sql('postgres', `SELECT pg_terminate_backend(${String(before[0])})`);
      await eventually('another one is open', async () => {
        const now = (await cluster.sql('postgres', sql)).map(({ pid }) => pid);
        return now.length === 2 && !now.includes(before[0]);
      });
    });
  });

  it('opens nothing for a paused tenant, and its minimum when it is resumed', async () => {
    await withProxy([tenant('held', { minConnections: 2, prewarm: 'on' })], {}, async (proxy) => {
      await untilOpen(2);
      await proxy.operate('held', 'pause');
      await untilOpen(0);
      await proxy.setPool('held', { minConnections: 3 });
      assert.equal(await open(), 0);
      await proxy.operate('held', 'resume');
      await untilOpen(3);
    });
  });
});

describe('a pool that takes the place of another', () => {
  it('is opened to what the old one had in use, before a client asks for it', async () => {
    await withProxy([tenant('swapped', { minConnections: 1 })], {}, async (proxy) => {
      const clients = await Promise.all([1, 2, 3].map(() => connect(proxy, 'swapped')));
      for (const client of clients) await ask(client, 'BEGIN; SELECT 1');
      await untilOpen(3);
      await proxy.operate('swapped', 'reconnect');
      await untilOpen(6);
      const { pools } = await proxy.report((report) => report.pools.some(({ idle }) => idle === 3));
      assert.equal(pools.length, 2);
      for (const client of clients) {
        await ask(client, 'COMMIT');
        client.end();
      }
      await untilAtRest(proxy);
    });
  });

  it('opens nothing in place of one that nobody used', async () => {
    await withProxy([tenant('unused', { idleTimeoutMs: 100 })], {}, async (proxy) => {
      const client = await connect(proxy, 'unused');
      await ask(client, 'SELECT 1');
      client.end();
      await proxy.setPool('unused', { minConnections: 0 });
      await untilOpen(0);
      await proxy.operate('unused', 'reconnect');
      const { pools } = await proxy.report(({ appliedPosition }) => appliedPosition > 2);
      assert.deepEqual(
        pools.map(({ total }) => total).filter((total) => total > 0),
        [],
      );
    });
  });
});

describe('max_server_dials 3', () => {
  const LIMITED = { DBBOUNCER_MAX_SERVER_DIALS: '3' };
  let relay: HeldRelay;
  before(async () => {
    relay = await holdBack(cluster.port);
  });
  after(() => relay.close());

  it('logs in 3 at a time when 8 tenants warm 2 connections each, until all are open', async () => {
    const tenants = Array.from({ length: 8 }, (_, index) =>
      tenant(`many-${index}`, { minConnections: 2, prewarm: 'on' }, relay.port),
    );
    await withProxy(tenants, LIMITED, async () => {
      for (let passed = 0; passed < 16; passed += 1) {
        const waiting = Math.min(3, 16 - passed);
        await eventually(`${waiting} are held`, () => relay.held === waiting);
        relay.passOne();
      }
      await untilOpen(16);
      assert.equal(relay.mostHeld, 3);
    });
  });

  it('serves a client of another tenant at once while servers of some do not answer', async () => {
    relay.hold();
    const hanging = [1, 2, 3, 4, 5].map((number) =>
      tenant(`hangs-${number}`, { minConnections: 2, prewarm: 'on' }, relay.port),
    );
    await withProxy([...hanging, tenant('healthy', {})], LIMITED, async (proxy) => {
      await eventually('all places are taken', () => relay.held >= 3);
      const beganMs = performance.now();
      const client = await connect(proxy, 'healthy');
      assert.equal(await ask(client, 'SELECT 5'), '5');
      assert.ok(performance.now() - beganMs < 900, 'no hanging dial had to give its place back');
      client.end();
    });
  });
});
