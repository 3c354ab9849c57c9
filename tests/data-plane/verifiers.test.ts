/**
 * Credentials that are no passwords: what the server keeps of one lets clients in, and gets the
 * proxy in once a client has proved to know the password. And that no proof is ever left out.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import { firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const POOL: PoolOverrides = {
  poolMode: 'transaction',
  maxConnections: 4,
  minConnections: 1,
  prewarm: 'on',
};
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({
    superuserPassword: 'of the superuser',
    hba: ['host all old 127.0.0.1/32 md5', 'host all trusted 127.0.0.1/32 trust'],
  });
  await cluster.sql(
    'postgres',
    `CREATE ROLE app LOGIN PASSWORD 'app pw'; CREATE ROLE trusted LOGIN;
     SET scram_iterations = 10000; CREATE ROLE slow LOGIN PASSWORD 'slow pw';
     SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 'old pw'`,
  );
  const env = { DBBOUNCER_LOGIN_THROTTLE_FAILURES: '0' };
  proxy = await TestProxy.start({ tenants: [], env });
});
after(async () => {
  await proxy.stop();
  await cluster.remove();
});

let made = 0;
/** A tenant whose credential is `password`, in the words of the server. */
function tenant(username: string, password: string, changes: Partial<TestTenant> = {}): TestTenant {
  const id = `t${(made += 1)}`;
  return {
    id,
    port: cluster.port,
    database: 'postgres',
    username,
    password,
    pool: POOL,
    ...changes,
  };
}

async function verifierOf(role: string): Promise<string> {
  const sql = `SELECT rolpassword FROM pg_authid WHERE rolname = '${role}'`;
  const [row] = await cluster.sql('postgres', sql);
  return String(row?.['rolpassword']);
}

function address({ id, username }: TestTenant, password: string) {
  return { host: proxy.host, port: proxy.port, user: username, password, database: id };
}

/** As whom somebody with this password is logged in to the server. */
async function sessionUser(of: TestTenant, password: string): Promise<string> {
  const client = new Client(address(of, password));
  await client.connect();
  try {
    const { rows } = await client.query<{ who: string }>('SELECT session_user::text AS who');
    return rows[0]?.who ?? '';
  } finally {
    await client.end();
  }
}

const stateOf = (id: string, state: string | undefined) =>
  proxy.report(({ pools }) => pools.some((pool) => pool.tenant === id && pool.state === state));

describe('a SCRAM verifier as the password of a tenant', () => {
  it('opens no connection until a client has proved to know its password', async () => {
    const of = tenant('app', await verifierOf('app'));
    await proxy.setTenant(of);
    await stateOf(of.id, 'waiting_for_login');
    await assert.rejects(sessionUser(of, 'guess'), { code: '28P01' });
    await stateOf(of.id, 'waiting_for_login');
    assert.equal(await sessionUser(of, 'app pw'), 'app');
    await stateOf(of.id, undefined);
    await proxy.removeTenant(of.id);
  });

  it('has the iterations of the server', async () => {
    const of = tenant('slow', await verifierOf('slow'));
    await proxy.setTenant(of);
    assert.equal(await sessionUser(of, 'slow pw'), 'slow');
    await proxy.removeTenant(of.id);
  });

  it('learns from a password in clear as well, where client_auth asks for it', async () => {
    const pool = { ...POOL, clientAuth: 'cleartext_without_tls' } as const;
    const of = tenant('app', await verifierOf('app'), { pool });
    await proxy.setTenant(of);
    await assert.rejects(sessionUser(of, 'guess'), { code: '28P01' });
    assert.equal(await sessionUser(of, 'app pw'), 'app');
    await proxy.removeTenant(of.id);
  });

  it('is 08004 when it is of the same password and not the one of the server', async () => {
    await cluster.sql('postgres', `CREATE ROLE twin LOGIN PASSWORD 'app pw'`);
    const of = tenant('app', await verifierOf('twin'));
    await proxy.setTenant(of);
    const message =
      `the database server of tenant "${of.id}" cannot be logged in to as "app": the salt or` +
      ' iteration count of the server is not that of the SCRAM verifier';
    await assert.rejects(sessionUser(of, 'app pw'), { code: '08004', message });
    await proxy.removeTenant(of.id);
  });

  it('forgets what it has learned when it changes, not when it is written again', async () => {
    await cluster.sql('postgres', `CREATE ROLE rota LOGIN PASSWORD 'first'`);
    const of = tenant('rota', await verifierOf('rota'));
    await proxy.setTenant(of);
    assert.equal(await sessionUser(of, 'first'), 'rota');
    await proxy.setTenant(of);
    await proxy.operate(of.id, 'reconnect');
    await stateOf(of.id, undefined);
    await cluster.sql('postgres', `ALTER ROLE rota PASSWORD 'second'`);
    await proxy.setTenant({ ...of, password: await verifierOf('rota') });
    await stateOf(of.id, 'waiting_for_login');
    await assert.rejects(sessionUser(of, 'first'), { code: '28P01' });
    assert.equal(await sessionUser(of, 'second'), 'rota');
    await proxy.removeTenant(of.id);
  });
});

describe('an md5 verifier as the password of a tenant', () => {
  it('serves both sides where both ask for md5', async () => {
    const of = tenant('old', await verifierOf('old'), { pool: { ...POOL, clientAuth: 'md5' } });
    await proxy.setTenant(of);
    assert.equal(await sessionUser(of, 'old pw'), 'old');
    await assert.rejects(sessionUser(of, 'guess'), { code: '28P01' });
    await assert.rejects(sessionUser(of, of.password), { code: '28P01' }, 'the verifier itself');
    await proxy.removeTenant(of.id);
  });

  it('lets nobody in where client_auth is SCRAM', async () => {
    const of = tenant('old', await verifierOf('old'));
    await proxy.setTenant(of);
    await assert.rejects(sessionUser(of, 'old pw'), { code: '28P01' });
    await proxy.removeTenant(of.id);
  });
});

describe('what an auth_query finds', () => {
  const asker = { user: 'postgres', password: 'of the superuser' };

  it('may be an md5 verifier, for server and client alike', async () => {
    const of = tenant('app', 'app pw', {
      pool: { ...POOL, clientAuth: 'md5' },
      authQuery: asker,
    });
    await proxy.setTenant(of);
    assert.equal(await sessionUser({ ...of, username: 'old' }, 'old pw'), 'old');
    assert.equal(await sessionUser({ ...of, username: 'slow' }, 'slow pw'), 'slow', 'by SCRAM');
    await proxy.removeTenant(of.id);
  });

  it('may be the password itself', async () => {
    const authQuery = { ...asker, query: `SELECT $1::text, 'slow pw'` };
    const of = tenant('app', 'app pw', { authQuery });
    await proxy.setTenant(of);
    const slow = { ...of, username: 'slow' };
    assert.equal(await sessionUser(slow, 'slow pw'), 'slow');
    await assert.rejects(sessionUser(slow, 'app pw'), { code: '28P01' });
    await proxy.removeTenant(of.id);
  });
});

describe('a server that trusts the proxy', () => {
  it('makes the proxy trust nobody: the password decides, and an empty one is none', async () => {
    for (const clientAuth of ['scram-sha-256', 'md5', 'cleartext_without_tls'] as const) {
      const of = tenant('trusted', 'for clients', { pool: { ...POOL, clientAuth } });
      await proxy.setTenant(of);
      assert.equal(await sessionUser(of, 'for clients'), 'trusted');
      for (const guess of ['', 'wrong']) {
        await assert.rejects(sessionUser(of, guess), `${clientAuth} with "${guess}"`);
      }
      await proxy.removeTenant(of.id);
    }
  });

  it('finds nobody by an auth_query that has no password', async () => {
    const authQuery = { user: 'postgres', password: 'of the superuser' };
    const of = tenant('app', 'app pw', { authQuery });
    await proxy.setTenant(of);
    const trusted = { ...of, username: 'trusted' };
    for (const guess of ['x', 'trusted']) {
      await assert.rejects(sessionUser(trusted, guess), { code: '28P01' });
    }
    const client = await RawClient.login(proxy, address(of, 'app pw'));
    client.send(query('SELECT session_user'));
    assert.deepEqual(firstColumns(await client.until('Z')), ['app']);
    client.end();
    await proxy.removeTenant(of.id);
  });
});
