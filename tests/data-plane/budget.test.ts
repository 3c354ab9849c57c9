/**
 * A proxy under the budget of its fleet: what its clients are served with, are told, and what it
 * says, while a test plays the control plane.
 */
import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { BudgetDealer, granted } from '../support/budget-dealer.ts';
import { eventually } from '../support/eventually.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'budget secret';
const login = (tenant = 'acme') => ({ user: 'postgres', password: PASSWORD, database: tenant });
const ACME = 'acme' as TenantId;

let cluster: PostgresCluster;
let dir: string;
let proxy: TestProxy;
let dealer: BudgetDealer;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
});
after(async () => {
  await cluster.stop();
});
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dbbouncer-budget-'));
  await start();
});
afterEach(async () => {
  dealer.stop();
  await proxy.stop();
  await rm(dir, { recursive: true });
});

async function start(pool: PoolOverrides = {}): Promise<void> {
  const { port } = cluster;
  const server = { port, database: 'postgres', username: 'postgres', password: PASSWORD };
  const terms = { poolMode: 'transaction', minConnections: 0, maxConnections: 6 } as const;
  proxy = await TestProxy.start({
    tenants: [{ id: 'acme', ...server, pool: { ...terms, ...pool } }],
    env: { DBBOUNCER_FLEET_BUDGET: 'fleet' },
    dir,
  });
  dealer = new BudgetDealer(proxy.bus, proxy.proxyId);
}

/** Clients in a transaction each, so that each has a server connection. */
async function holders(count: number): Promise<RawClient[]> {
  const clients = await Promise.all(
    Array.from({ length: count }, () => RawClient.login(proxy, login())),
  );
  for (const client of clients) client.send(query('BEGIN; SELECT 1'));
  await Promise.all(clients.map((client) => client.until('Z')));
  return clients;
}

async function commit(client: RawClient): Promise<void> {
  client.send(query('COMMIT'));
  await client.until('Z');
}

async function serverConnections(): Promise<number> {
  const [row] = await cluster.sql(
    'postgres',
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE 'dbb:%'`,
  );
  return Number(row?.['n']);
}

async function metric(name: string): Promise<string | undefined> {
  const page = await (await fetch(proxy.metricsUrl)).text();
  return page.split('\n').find((line) => line.startsWith(name));
}

describe('a proxy without a part of the budget', () => {
  it('tells a client after acquire_timeout that it may have none', async () => {
    await proxy.setPool('acme', { acquireTimeoutMs: 300 });
    await assert.rejects(RawClient.login(proxy, login()), (error: Error) => {
      assert.match(error.message, /^53300: tenant "acme".*acquire_timeout \(300 ms\)/);
      assert.match(error.message, /may have none of max_connections \(6, over all proxies\)/);
      assert.match(error.message, /the control plane has not yet given/);
      return true;
    });
    assert.equal(await serverConnections(), 0);
  });

  it('says at once that a client waits, and serves it as soon as a slot is granted', async () => {
    const needs = dealer.needsOf('acme', ({ wanted }) => wanted > 0);
    const client = RawClient.login(proxy, login());
    const { floor, limit, held, wanted } = await needs;
    assert.deepEqual({ floor, limit, held, wanted }, { floor: 0, limit: 0, held: 0, wanted: 1 });
    const answer = await dealer.grant({ tenants: [granted('acme', 0, 1)] });
    assert.deepEqual(answer, { outcome: 'obeyed', above: [], aboveOmitted: 0, lease: 'in_force' });
    const served = await client;
    served.send(query('SELECT 1'));
    assert.deepEqual(firstColumns(await served.until('Z')), ['1']);
    served.end();
  });
});

describe('a proxy with a share', () => {
  it('opens as many as max_connections divided by the divisor, and no more', async () => {
    await dealer.grant({ share: { divisor: 3 } });
    const [first, second] = await holders(2);
    const third = await RawClient.login(proxy, login());
    await proxy.setPool('acme', { acquireTimeoutMs: 300 });
    third.send(query('SELECT 3'));
    const [error] = await third.until('Z');
    assert.ok(error !== undefined);
    const { C, M } = fields(error);
    assert.equal(C, '53300');
    assert.match(
      M ?? '',
      /may have 2 of max_connections \(6, over all proxies\), and 2 are in use/,
    );
    assert.match(M ?? '', /the budget gives the rest to other proxies/);
    for (const client of [first, second, third]) client?.end();
  });

  it('is as ready as before: its readiness does not depend on grants', async () => {
    const answer = await fetch(proxy.metricsUrl.replace('/metrics', '/ready'));
    assert.equal(answer.status, 200);
  });

  it('closes idle ones at once when it may have fewer, others as they are given back', async () => {
    await dealer.grant({ share: { divisor: 3 }, tenants: [granted('acme', 2, 5)] });
    const clients = await holders(4);
    const [first, second] = clients;
    await commit(first as RawClient);
    const answer = await dealer.grant({ tenants: [granted('acme', 1, 1)] });
    assert.ok(answer.outcome === 'obeyed');
    assert.deepEqual(
      answer.above.map(({ tenant }) => tenant),
      ['acme'],
    );
    const idleGone = await dealer.needsOf('acme', ({ held }) => held === 3);
    assert.deepEqual([idleGone.floor, idleGone.limit], [1, 1]);
    const another = dealer.needsOf('acme', ({ held }) => held === 2);
    await commit(second as RawClient);
    await another;
    await eventually('the server has 2', async () => (await serverConnections()) === 2);
    for (const client of clients) client.end();
  });

  it('falls to its floor when nobody renews the lease, and says so to clients', async () => {
    await dealer.needs();
    const share = { divisor: 3 };
    await dealer.grant({ leaseMs: 400, share, tenants: [granted('acme', 1, 3)] });
    const clients = await holders(3);
    for (const client of clients) await commit(client);
    await eventually('it has closed 2', async () => (await serverConnections()) === 1);
    const [holder] = await holders(1);
    const client = await RawClient.login(proxy, login());
    await proxy.setPool('acme', { acquireTimeoutMs: 300 });
    client.send(query('SELECT 1'));
    const [error] = await client.until('Z');
    assert.ok(error !== undefined);
    const { C, M, H } = fields(error);
    assert.equal(C, '53300');
    assert.match(
      M ?? '',
      /may have 1 of max_connections .* no control plane has answered for \d+ s/,
    );
    assert.match(H ?? '', /budget_when_cut_off/);
    await commit(holder as RawClient);
    await dealer.grant();
    client.end();
  });

  it('keeps its share and the term it obeyed over a restart', async () => {
    await dealer.grant({ share: { divisor: 2 } });
    dealer.stop();
    await proxy.stop();
    await start();
    const clients = await holders(3);
    const told = await dealer.needs();
    assert.deepEqual([told.life, told.share, told.term], [2, { divisor: 2 }, 1]);
    for (const client of clients) client.end();
  });
});

describe('what is left on a server', () => {
  const strays: RawClient[] = [];
  afterEach(() => {
    for (const stray of strays.splice(0)) stray.destroy();
  });

  async function stray(name: string): Promise<void> {
    const server = { host: '127.0.0.1', port: cluster.port };
    const parameters = { application_name: name };
    strays.push(await RawClient.login(server, { ...login('postgres'), parameters }));
  }

  async function names(): Promise<readonly unknown[]> {
    const rows = await cluster.sql(
      'postgres',
      `SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'dbb:p-lost%'
       ORDER BY 1`,
    );
    return rows.map((row) => row['application_name']);
  }

  it('of an earlier life is ended before a second slot is used', async () => {
    await dealer.grant({ share: { divisor: 1 } });
    dealer.stop();
    await proxy.stop();
    await appendFile(join(dir, 'proxies', '1', 'budget.jsonl'), '{"ending":"unknown"}\n');
    for (const life of [1, 1, 2]) await stray(`dbb:${proxy.proxyId}:${life}`);
    await start();
    const clients = await holders(2);
    assert.equal(await serverConnections(), 3);
    const told = await dealer.needsOf('acme', ({ held }) => held === 2);
    assert.equal(told.looked, 'yes');
    for (const client of clients) client.end();
  });

  it('of an earlier life is looked for where nobody asks, until nothing is left', async () => {
    await dealer.grant({ share: { divisor: 1 } });
    dealer.stop();
    await proxy.stop();
    await appendFile(join(dir, 'proxies', '1', 'budget.jsonl'), '{"ending":"unknown"}\n');
    await stray(`dbb:${proxy.proxyId}:1`);
    await start();
    assert.equal((await dealer.needs()).left, 'maybe');
    await dealer.needs(({ left }) => left === 'nothing');
    assert.equal(await serverConnections(), 0);
  });

  it('of another proxy is counted, and ended but for what it may keep', async () => {
    await dealer.grant({ share: { divisor: 1 } });
    const others = ['dbb:p-lost:4', 'dbb:p-lost2:3'];
    for (const name of ['dbb:p-lost:2', 'dbb:p-lost:3', 'dbb:p-lost:3', ...others]) {
      await stray(name);
    }
    const left = { proxy: 'p-lost' as ProxyId, upToLife: 3 };
    const request = { tenant: ACME, left, keep: 1 };
    const seen = await dealer.look({ ...request, action: 'look' });
    assert.deepEqual(seen, { outcome: 'seen', remaining: 3, ended: 0 });
    const ended = await dealer.look({ ...request, action: 'end_surplus' });
    assert.deepEqual(ended, { outcome: 'seen', remaining: 1, ended: 2 });
    const remaining = await names();
    assert.equal(remaining.length, 3);
    assert.deepEqual(
      others.filter((name) => !remaining.includes(name)),
      [],
    );
  });

  it('cannot be seen without a slot: the look says so', async () => {
    const left = { proxy: 'p-lost' as ProxyId, upToLife: 3 };
    const answer = await dealer.look({ tenant: ACME, left, keep: 0, action: 'look' });
    assert.deepEqual(answer.outcome === 'cannot' && answer.reason, 'no_slot');
  });
});

describe('budget_when_cut_off: floor_one', () => {
  it('opens one where nothing is granted and nobody answers, which is counted', async () => {
    dealer.stop();
    await proxy.stop();
    await start({ budgetWhenCutOff: 'floor_one' });
    await dealer.grant({ leaseMs: 1, tenants: [granted('acme', 0, 2)] });
    const [client] = await holders(1);
    assert.equal(await serverConnections(), 1);
    assert.equal(
      await metric('dbbouncer_budget_floor_one_total'),
      'dbbouncer_budget_floor_one_total 1',
    );
    client?.end();
  });
});

describe('leaving', () => {
  it('gives the share back to a control plane that answers, and starts without one', async () => {
    await dealer.grant({ share: { divisor: 2 } });
    const leaving = dealer.needs(({ state }) => state === 'leaving');
    const stopped = proxy.stop();
    await leaving;
    await dealer.grant({ share: null });
    await stopped;
    dealer.stop();
    await start();
    assert.equal((await dealer.needs()).share, null);
  });
});

describe('a grant', () => {
  it('of a former term is refused with the term that is obeyed', async () => {
    await dealer.grant({ term: 4 });
    const answer = await dealer.grant({ term: 3, released: [ACME] });
    assert.deepEqual(answer, { outcome: 'refused', reason: 'older_term', life: 1, term: 4 });
  });
});

describe('a proxy whose copy of the config is lost', () => {
  it('has its share of the first config that it serves', async () => {
    await dealer.grant({ share: { divisor: 3 } });
    dealer.stop();
    await proxy.stop();
    await rm(join(dir, 'proxies', '1', 'config.json'));
    await start();
    const clients = await holders(2);
    for (const client of clients) client.end();
  });
});
