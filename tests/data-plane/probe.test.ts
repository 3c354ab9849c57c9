/**
 * A proxy that is asked whether it could connect to a server: what it answers at each stage, and
 * that a probe counts under the tenant's limit.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { PROBE_LIMITS } from '@dbbouncer/shared/contract/server-probe.ts';
import type { ProbeAnswer } from '@dbbouncer/shared/contract/server-probe.ts';
import { eventually } from '../support/eventually.ts';
import { firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'probed secret';
let cluster: PostgresCluster;
let proxy: TestProxy;
let acme: TestTenant;
/** Takes connections, and says nothing. */
let silent: Server;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const { port } = cluster;
  const login = { database: 'postgres', username: 'postgres', password: PASSWORD };
  const pool = { poolMode: 'transaction', minConnections: 0, maxConnections: 1 } as const;
  acme = { id: 'acme', port, ...login, pool };
  proxy = await TestProxy.start({ tenants: [acme] });
  silent = createServer((socket) => socket.on('error', () => {}));
  silent.listen({ host: '127.0.0.1', port: 0 });
  await once(silent, 'listening');
});
after(async () => {
  await proxy.stop();
  silent.close();
  await cluster.stop();
});

const connect = (): Promise<RawClient> =>
  RawClient.login(proxy, { user: 'postgres', password: PASSWORD, database: 'acme' });

async function ask(client: RawClient, sql: string): Promise<readonly string[]> {
  client.send(query(sql));
  return firstColumns(await client.until('Z'));
}

function failed(answer: ProbeAnswer) {
  assert.ok(answer.outcome === 'failed', JSON.stringify(answer));
  return answer;
}

describe('a probe', () => {
  it('of a server that lets it in tells version, limits and time, and closes', async () => {
    const answer = await proxy.probe({ ...acme, id: 'new' });
    assert.ok(answer.outcome === 'reachable', JSON.stringify(answer));
    assert.match(answer.server.version, /^18/);
    const { maxConnections, reservedConnections, roleConnections } = answer.server;
    assert.deepEqual([maxConnections, reservedConnections, roleConnections], [100, 3, null]);
    assert.ok(answer.tookMs > 0 && answer.tookMs < 5_000);
    const client = await connect();
    const others = `application_name LIKE 'dbb:%' AND pid <> pg_backend_pid()`;
    const left = `SELECT count(*) FROM pg_stat_activity WHERE ${others}`;
    await eventually('the connection of the probe is gone', async () => {
      return (await ask(client, left))[0] === '0';
    });
    client.end();
    const { servers } = await proxy.report((report) => report.servers !== undefined);
    assert.deepEqual(servers, [
      {
        host: '127.0.0.1',
        port: acme.port,
        limits: { version: answer.server.version, maxConnections: 100, reservedConnections: 3 },
      },
    ]);
  });

  it('is no condition: the first connection that is opened to a server asks it, too', async () => {
    const id = 'by-name';
    await proxy.setTenant({ ...acme, id, host: 'localhost' });
    const login = { user: 'postgres', password: PASSWORD, database: id };
    const client = await RawClient.login(proxy, login);
    assert.deepEqual(await ask(client, 'SELECT 1'), ['1']);
    const { servers } = await proxy.report((report) => (report.servers?.length ?? 0) > 1);
    const known = servers?.find(({ host }) => host === 'localhost');
    assert.deepEqual([known?.port, known?.limits.maxConnections], [acme.port, 100]);
    client.end();
    await proxy.removeTenant(id);
  });

  const stages: Readonly<Record<string, readonly [() => Partial<TestTenant>, RegExp]>> = {
    dns: [() => ({ host: 'nobody.invalid' }), /ENOTFOUND|EAI_AGAIN/],
    tcp: [() => ({ port: 1 }), /ECONNREFUSED/],
    tls: [() => ({ serverTls: { mode: 'require' } }), /does not offer TLS/],
    auth: [() => ({ password: 'wrong' }), /^password authentication failed for user "postgres"$/],
    database: [() => ({ database: 'none' }), /^database "none" does not exist$/],
    init_sql: [() => ({ initSql: 'SELECT oops' }), /^column "oops" does not exist$/],
  };
  for (const [stage, [change, words]] of Object.entries(stages)) {
    it(`that fails at ${stage} says so, in the words that were said`, async () => {
      const answer = failed(await proxy.probe({ ...acme, id: 'new', ...change() }));
      assert.equal(answer.stage, stage);
      assert.match(answer.message, words);
    });
  }

  it('of a server that says nothing ends at its deadline of 300 ms, in whole ones', async () => {
    const { port } = silent.address() as AddressInfo;
    const beganMs = performance.now();
    const answer = failed(await proxy.probe({ ...acme, id: 'new', port }, { timeoutMs: 300 }));
    assert.ok(performance.now() - beganMs < 3_000);
    assert.equal(answer.stage, 'tls');
    assert.match(answer.message, /it took longer than a probe may, 300 ms$/);
  });

  it('of a slow init_sql ends at its deadline of 400 ms, and says so of that stage', async () => {
    const slow = { ...acme, id: 'new', initSql: 'SELECT pg_sleep(60)' };
    const answer = failed(await proxy.probe(slow, { timeoutMs: 400 }));
    assert.equal(answer.stage, 'init_sql');
    assert.match(answer.message, /it took longer than a probe may, 400 ms$/);
    assert.match(answer.hint ?? '', /^Look at the init_sql of the tenant/);
  });

  it('of an init_sql that is slower than server_login_timeout names that limit', async () => {
    const pool = { ...acme.pool, serverLoginTimeoutMs: 300 };
    const slow = { ...acme, id: 'new', initSql: 'SELECT pg_sleep(60)', pool };
    const answer = failed(await proxy.probe(slow));
    assert.equal(answer.stage, 'init_sql');
    assert.match(
      answer.message,
      /its init_sql did not end within server_login_timeout \(300 ms\)$/,
    );
  });

  it('with a verifier alone waits for a login, and is no failure', async () => {
    const key = 'A'.repeat(43) + '=';
    const password = `SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$${key}:${key}`;
    const answer = await proxy.probe({ ...acme, id: 'new', password });
    assert.equal(answer.outcome, 'waiting_for_login', JSON.stringify(answer));
  });

  it('of a protocol that cannot be tried is not made', async () => {
    const answer = await proxy.probe(acme, { protocol: 'mysql' });
    assert.deepEqual(
      [answer.outcome, answer.outcome === 'not_probed' && answer.reason],
      ['not_probed', 'unsupported_protocol'],
    );
  });

  it('has a slot of the tenant: none while its one connection is in use', async () => {
    const client = await connect();
    await ask(client, 'BEGIN');
    await ask(client, 'SELECT 1');
    const answer = await proxy.probe(acme, { timeoutMs: 200 });
    assert.ok(answer.outcome === 'not_probed', JSON.stringify(answer));
    assert.equal(answer.reason, 'no_slot');
    assert.match(answer.message, /max_connections \(1\) of tenant "acme" were in use for 200 ms/);
    const waiting = proxy.probe(acme);
    await ask(client, 'COMMIT');
    assert.equal((await waiting).outcome, 'reachable');
    assert.deepEqual(await ask(client, 'SELECT 42'), ['42']);
    client.end();
  });

  it('is one of ten at once: the eleventh is told so', async () => {
    const { port } = silent.address() as AddressInfo;
    const slow = Array.from({ length: PROBE_LIMITS.runningMax }, (_, i) =>
      proxy.probe({ ...acme, id: `new-${i}`, port }, { timeoutMs: 500 }),
    );
    const answer = await proxy.probe(acme);
    assert.deepEqual(
      [answer.outcome, answer.outcome === 'not_probed' && answer.reason],
      ['not_probed', 'busy'],
    );
    await Promise.all(slow);
    assert.equal((await proxy.probe(acme)).outcome, 'reachable');
  });
});
