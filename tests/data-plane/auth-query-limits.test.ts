/**
 * Looked-up users at the limits: of connections, of time, of what the config allows them, and of
 * what the database has just been told.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'of the superuser';
const SLOW = 'SELECT $1::text, pg_sleep(60)::text';
const USERS = Array.from({ length: 12 }, (_, index) => `user${index}`);
let cluster: PostgresCluster;
let proxy: TestProxy;

function tenant(changes: Partial<TestTenant> = {}): TestTenant {
  return {
    id: 'acme',
    port: cluster.port,
    database: 'postgres',
    username: 'postgres',
    password: PASSWORD,
    pool: { poolMode: 'transaction', maxConnections: 4, acquireTimeoutMs: 1_500 },
    authQuery: {},
    ...changes,
  };
}

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql(
    'postgres',
    [...USERS, 'ann'].map((name) => `CREATE ROLE ${name} LOGIN PASSWORD '${name}'`).join('; '),
  );
  proxy = await TestProxy.start({
    tenants: [tenant(), tenant({ id: 'slow', authQuery: { query: SLOW } })],
    env: { DBBOUNCER_LOGIN_THROTTLE_FAILURES: '0' },
  });
});
after(async () => {
  await proxy.stop();
  await cluster.remove();
});

const login = (user: string, password = user) =>
  RawClient.login(proxy, { user, password, database: 'acme' });

async function ask(client: RawClient, sql: string): Promise<string | undefined> {
  client.send(query(sql));
  return firstColumns(await client.until('Z'))[0];
}

describe('looked-up users', () => {
  it('share 4 connections, 12 of them connected at once', async () => {
    const clients: RawClient[] = [];
    for (const user of USERS) clients.push(await login(user));
    for (let round = 0; round < 3; round++) {
      const answers = clients.map((client) => ask(client, 'SELECT session_user'));
      assert.deepEqual(await Promise.all(answers), USERS);
    }
    for (const client of clients) client.end();
    const { pools } = await proxy.atRest();
    const total = pools.reduce((sum, pool) => sum + pool.total, 0);
    assert.ok(total <= 4, `${total} connections of 4`);
  });

  it('are refused after acquire_timeout while others hold every connection', async () => {
    await proxy.setTenant(
      tenant({ pool: { ...tenant().pool, maxConnections: 1, acquireTimeoutMs: 200 } }),
    );
    const holder = await login('postgres', PASSWORD);
    await ask(holder, 'BEGIN; SELECT 1');
    await assert.rejects(login('nobody'), /08001: users cannot be looked up at the moment/);
    await ask(holder, 'COMMIT');
    await assert.rejects(login('nobody'), /28P01/);
    assert.equal(await ask(holder, 'SELECT session_user'), 'postgres', 'it gives the slot back');
    holder.end();
    await proxy.setTenant(tenant());
  });

  it('end with the auth_query that found them, between two transactions', async () => {
    const ann = await login('ann');
    await ask(ann, 'BEGIN; SELECT 1');
    const { authQuery: _gone, ...without } = tenant();
    await proxy.setTenant(without);
    assert.equal(await ask(ann, 'SELECT session_user'), 'ann', 'its transaction goes on');
    ann.send(query('COMMIT'));
    const refusal = (await ann.until('E')).at(-1);
    assert.equal(refusal && fields(refusal)['C'], '57P01');
    await assert.rejects(login('ann'), /28P01/);
    await proxy.setTenant(tenant());
  });

  it('go on when the config begins to list them, with what it says of them', async () => {
    const ann = await login('ann');
    const pid = await ask(ann, 'SELECT pg_backend_pid()');
    await proxy.setTenant(tenant({ users: [{ name: 'ann', password: 'ann', maxConnections: 1 }] }));
    assert.equal(await ask(ann, 'SELECT session_user'), 'ann');
    const other = await login('ann');
    await ask(other, 'BEGIN; SELECT 1');
    ann.send(query('SELECT 1'));
    const [refusal] = await ann.until('Z');
    assert.match(refusal ? (fields(refusal)['M'] ?? '') : '', /max_connections of user "ann"/);
    assert.notEqual(await ask(other, 'SELECT pg_backend_pid()'), pid);
    for (const client of [ann, other]) client.end();
    await proxy.setTenant(tenant());
    await proxy.atRest();
  });

  it('wait through a pause, and are let in once the tenant is resumed', async () => {
    await proxy.operate('acme', 'pause');
    const pending = login('user1');
    await proxy.report(({ pools }) => pools.some(({ waiting }) => waiting === 1));
    await proxy.operate('acme', 'resume');
    const client = await pending;
    assert.equal(await ask(client, 'SELECT session_user'), 'user1');
    client.end();
  });

  it('are let in soon after they were made, though they were refused just before', async () => {
    await proxy.setTenant(tenant({ authQuery: { negativeTtlMs: 100 } }));
    await assert.rejects(login('newcomer'), /28P01/);
    await cluster.sql('postgres', `CREATE ROLE newcomer LOGIN PASSWORD 'newcomer'`);
    await assert.doesNotReject(loginWithin(2_000, 'newcomer'));
    await proxy.setTenant(tenant());
  });
});

describe('a lookup in time', { concurrency: true }, () => {
  it('takes 5 s at most: then the database counts as not to be asked', async () => {
    const begun = performance.now();
    const who = { user: 'ann', password: 'ann', database: 'slow' };
    await assert.rejects(RawClient.login(proxy, who), /08001: users cannot be looked up/);
    const tookMs = performance.now() - begun;
    assert.ok(tookMs > 4_900 && tookMs < 8_000, `${tookMs} ms`);
  });

  it('lets a new password in soon after, though the old one is still known', async () => {
    await cluster.sql('postgres', `CREATE ROLE rotated LOGIN PASSWORD 'old'`);
    const early = await login('rotated', 'old');
    early.end();
    await cluster.sql('postgres', `ALTER ROLE rotated PASSWORD 'new'`);
    // After 3 s a wrong password is a reason to ask again, long before cache_ttl is over.
    await assert.doesNotReject(loginWithin(6_000, 'rotated', 'new'));
    await assert.rejects(login('rotated', 'old'), /28P01/);
  });
});

/** The first login that succeeds; what they are refused with until then is a wrong password. */
async function loginWithin(ms: number, user: string, password = user): Promise<void> {
  for (const end = performance.now() + ms; ;) {
    try {
      return (await login(user, password)).end();
    } catch (error) {
      assert.match(String(error), /28P01/);
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
