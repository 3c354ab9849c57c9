/**
 * The proxy logs in to servers that ask for SCRAM, md5, a cleartext password or nothing, and closes
 * idle and old server connections as the tenant says.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'server secret';
const login = { user: 'postgres', password: PASSWORD, database: 'acme' };

for (const authMethod of ['scram-sha-256', 'md5', 'password', 'trust'] as const) {
  describe(`a server that asks for ${authMethod}`, () => {
    it('is logged in to, and its idle connections fall to the minimum', async () => {
      const settings = { password_encryption: authMethod === 'md5' ? 'md5' : 'scram-sha-256' };
      const cluster = await startPostgresCluster({
        superuserPassword: PASSWORD,
        authMethod,
        settings,
      });
      await cluster.sql('postgres', `ALTER ROLE postgres PASSWORD '${PASSWORD}'`);
      const serverCleartext = 'anywhere';
      const pool = {
        minConnections: 1,
        maxConnections: 4,
        idleTimeoutMs: 100,
        serverCleartext,
      } as const;
      const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD, pool };
      const proxy = await TestProxy.start({
        tenants: [{ id: 'acme', database: 'postgres', ...tenant }],
      });
      const clients = await Promise.all([1, 2, 3].map(() => RawClient.login(proxy, login)));
      for (const client of clients) client.send(query('SELECT 1'));
      for (const client of clients) {
        assert.deepEqual(firstColumns(await client.until('Z')), ['1']);
      }
      for (const client of clients) client.end();
      await proxy.report(({ pools }) => pools.length === 1 && pools[0]?.total === 1);
      await proxy.stop();
      await cluster.remove();
    });
  });
}

describe('a server that asks for a cleartext password without TLS', () => {
  it('is not given it unless server_cleartext says anywhere', async () => {
    const cluster = await startPostgresCluster({
      superuserPassword: PASSWORD,
      authMethod: 'password',
    });
    const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD };
    const proxy = await TestProxy.start({
      tenants: [{ id: 'acme', database: 'postgres', ...tenant }],
    });
    await assert.rejects(RawClient.login(proxy, login), /08004: .*asks for the password in clear/);
    await proxy.stop();
    await cluster.remove();
  });
});

describe('max_lifetime', () => {
  it('replaces a server connection that is older than 300 ms', async () => {
    const cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
    const pool = { poolMode: 'transaction', maxConnections: 1, maxLifetimeMs: 300 } as const;
    const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD, pool };
    const proxy = await TestProxy.start({
      tenants: [{ id: 'acme', database: 'postgres', ...tenant }],
    });
    const client = await RawClient.login(proxy, login);
    const pid = async () => {
      client.send(query('SELECT pg_backend_pid()'));
      return firstColumns(await client.until('Z'))[0];
    };
    const first = await pid();
    let tries = 0;
    for (; tries < 50 && (await pid()) === first; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(tries < 50, 'the same connection for 5 s');
    client.end();
    await proxy.stop();
    await cluster.remove();
  });
});
