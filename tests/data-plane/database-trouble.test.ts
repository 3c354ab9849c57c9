/**
 * Databases that refuse, hang, vanish or are slow: what their clients read and how soon, that it is
 * over when the trouble is, and that no other tenant notices.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import { eventually } from '../support/eventually.ts';
import { metric, untilAtRest, untilWaiting } from '../support/proxy-metrics.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { holdBack } from '../support/relays.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'trouble secret';
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  proxy = await TestProxy.start({ tenants: [], env: { DBBOUNCER_MAX_SERVER_DIALS: '2' } });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

const connected = new Set<RawClient>();
afterEach(async () => {
  for (const client of connected) client.destroy();
  connected.clear();
  await untilAtRest(proxy);
});

type Connect = () => Promise<RawClient>;

/** A tenant with a role and a database of its own. */
async function newTenant(
  id: string,
  pool: PoolOverrides = {},
  port = cluster.port,
): Promise<Connect> {
  await cluster.sql('postgres', `CREATE ROLE ${id} LOGIN PASSWORD '${PASSWORD}'`);
  await cluster.sql('postgres', `CREATE DATABASE ${id} OWNER ${id}`);
  const small = { poolMode: 'transaction', maxConnections: 3, minConnections: 0 } as const;
  await proxy.setTenant({
    id,
    port,
    database: id,
    username: id,
    password: PASSWORD,
    pool: { ...small, ...pool },
  });
  return async () => {
    const client = await RawClient.login(proxy, { user: id, password: PASSWORD, database: id });
    connected.add(client);
    return client;
  };
}

async function ask(client: RawClient, sql: string): Promise<string | undefined> {
  client.send(query(sql));
  return firstColumns(await client.until('Z'))[0];
}

/** What the client reads instead of an answer, and after how many milliseconds. */
async function refusalOf(client: RawClient, sql: string) {
  const beganMs = performance.now();
  client.send(query(sql));
  const messages: RawMessage[] = await client.until('E');
  const error = messages.at(-1);
  assert.ok(error !== undefined, 'an error was sent');
  const { S = '', C = '', M = '', D = '', H = '' } = fields(error);
  if (S === 'ERROR') await client.until('Z');
  return { severity: S, code: C, message: M, detail: D, hint: H, ms: performance.now() - beganMs };
}

const untilServed = (client: RawClient) =>
  eventually('the client is served again', async () => {
    client.send(query('SELECT 8'));
    return firstColumns(await client.until('Z'))[0] === '8';
  });

describe('a database that is dropped under its clients', () => {
  it('is told at once in its own words, and works again when it is back', async () => {
    const connect = await newTenant('dropped');
    const client = await connect();
    await ask(client, 'SELECT 1');
    await cluster.sql('postgres', 'DROP DATABASE dropped WITH (FORCE)');
    const refusal = await refusalOf(client, 'SELECT 2');
    assert.equal(refusal.message, 'database "dropped" does not exist');
    assert.equal(refusal.code, '3D000');
    assert.ok(refusal.ms < 1_000, `after ${refusal.ms} ms`);
    await cluster.sql('postgres', 'CREATE DATABASE dropped OWNER dropped');
    await untilServed(client);
  });

  it('by another name is missed in the same way', async () => {
    const connect = await newTenant('renamed', { idleTimeoutMs: 100 });
    const client = await connect();
    await ask(client, 'SELECT 1');
    await proxy.operate('renamed', 'pause');
    await eventually('nobody is in it', async () => {
      const sql = `SELECT 1 FROM pg_stat_activity WHERE datname = 'renamed'`;
      return (await cluster.sql('postgres', sql)).length === 0;
    });
    await cluster.sql('postgres', 'ALTER DATABASE renamed RENAME TO other_name');
    await proxy.operate('renamed', 'resume');
    const { message, ms } = await refusalOf(client, 'SELECT 2');
    assert.equal(message, 'database "renamed" does not exist');
    assert.ok(ms < 1_000, `after ${ms} ms`);
  });
});

describe('a database that refuses the login', () => {
  it('is not asked again for each client: 50 read its own words, and when it is', async () => {
    const connect = await newTenant('refused', { serverLoginRetryMs: 60_000 });
    const clients = await Promise.all(Array.from({ length: 50 }, () => connect()));
    await proxy.operate('refused', 'pause');
    await cluster.sql('postgres', `ALTER ROLE refused PASSWORD 'another'`);
    await proxy.operate('refused', 'resume');
    const first = await refusalOf(clients[0] as RawClient, 'SELECT 1');
    assert.match(first.message, /^password authentication failed for user "refused"/);

    const before = await metric(proxy, 'dbbouncer_dial_failures_total', { tenant: 'refused' });
    const refusals = await Promise.all(clients.map((client) => refusalOf(client, 'SELECT 1')));
    const after = await metric(proxy, 'dbbouncer_dial_failures_total', { tenant: 'refused' });
    assert.ok(after - before <= 2, `${after - before} logins for 50 clients`);
    for (const { severity, message, detail } of refusals) {
      assert.equal(severity, 'ERROR', 'the session goes on');
      assert.match(message, /^password authentication failed for user "refused"/);
      assert.match(detail, /server_login_retry/);
    }
  });

  it('is asked again after at most server_login_retry, and its clients are served', async () => {
    const connect = await newTenant('retried', { serverLoginRetryMs: 400 });
    const client = await connect();
    await cluster.sql('postgres', 'ALTER ROLE retried NOLOGIN');
    await proxy.operate('retried', 'reconnect');
    for (let round = 0; round < 6; round += 1) {
      const { message } = await refusalOf(client, 'SELECT 1');
      assert.match(message, /role "retried" is not permitted to log in/);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await cluster.sql('postgres', 'ALTER ROLE retried LOGIN');
    const beganMs = performance.now();
    await untilServed(client);
    assert.ok(performance.now() - beganMs < 700, 'the pause did not grow beyond 400 ms');
  });
});

describe('a database that does not answer', () => {
  it('keeps nobody longer than acquire_timeout of 300 ms, and forgets who left', async () => {
    const relay = await holdBack(cluster.port);
    relay.open();
    const connect = await newTenant('silent', { acquireTimeoutMs: 300 }, relay.port);
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect()));
    relay.hold();
    await proxy.operate('silent', 'reconnect');
    const [stays, ...gone] = clients;
    assert.ok(stays);
    const refusal = refusalOf(stays, 'SELECT 1');
    for (const client of gone) client.send(query('SELECT 1'));
    await eventually('some wait', async () => (await waiting()) > 0);
    for (const client of gone) client.destroy();
    const { code, message, detail, ms } = await refusal;
    assert.equal(code, '53300');
    assert.match(message, /still connecting/);
    assert.match(detail, /reason: connecting/);
    assert.ok(ms < 1_000, `after ${ms} ms`);
    assert.equal(await waiting(), 0);
    relay.open();
    await untilServed(stays);
    relay.close();
  });

  it('holds up no client for longer than cancel_wait_timeout of 300 ms', async () => {
    const connect = await newTenant('stopped', {
      maxConnections: 1,
      cancelWaitTimeoutMs: 300,
      leakDetector: 'off',
    });
    const [one, other] = [await connect(), await connect()];
    await ask(one, `SET work_mem = '7MB'`);
    const pid = Number(await ask(one, 'SELECT pg_backend_pid()'));
    await ask(one, 'SELECT 1');
    process.kill(pid, 'SIGSTOP');
    try {
      // It has no work_mem of its own, so the proxy must take the other one's back before.
      const { code, message, ms } = await refusalOf(other, 'SELECT 2');
      assert.match(code, /^08|^57P/);
      assert.match(message, /cancel_wait_timeout \(300 ms\)/);
      assert.ok(ms < 2_000, `after ${ms} ms`);
      assert.equal(await ask(one, 'SHOW work_mem'), '7MB');
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });
});

describe('a login that is given up', () => {
  it('keeps its slot until the server has closed: never two at once of 1', async () => {
    let open = 0;
    let mostOpen = 0;
    let begun = 0;
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      open += 1;
      begun += 1;
      mostOpen = Math.max(mostOpen, open);
      socket.on('error', () => {});
      // As a server process that has yet to notice.
      socket.on('end', () => setTimeout(() => socket.end(), 150));
      socket.on('close', () => (open -= 1));
      socket.resume();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const connect = await newTenant('given_up', { maxConnections: 1 }, port);
    const login = connect().catch(() => undefined);
    await eventually('the first is under way', () => open === 1);
    await proxy.operate('given_up', 'reconnect');
    const again = connect().catch(() => undefined);
    await eventually('the second is under way', () => begun === 2);
    assert.equal(mostOpen, 1);
    await proxy.removeTenant('given_up');
    await Promise.all([login, again]);
    server.close();
  });
});

describe('a tenant that is slow', () => {
  it('does not hold up another one, neither with its queries nor with its logins', async () => {
    const relay = await holdBack(cluster.port);
    const hanging = await newTenant('hanging', {}, relay.port);
    const slow = await newTenant('slow', { maxConnections: 2 });
    const quick = await newTenant('quick');
    const logins = Array.from({ length: 10 }, () => hanging().catch(() => undefined));
    const crowd = await Promise.all(Array.from({ length: 10 }, () => slow()));
    for (const client of crowd) client.send(query('SELECT pg_sleep(0.3)'));
    await eventually('they wait', async () => (await waiting()) >= 8);

    const beganMs = performance.now();
    const client = await quick();
    for (let round = 0; round < 20; round += 1) await ask(client, 'SELECT 1');
    assert.ok(performance.now() - beganMs < 500, `${performance.now() - beganMs} ms`);
    relay.open();
    await Promise.all(logins);
    await Promise.all(crowd.map((busy) => busy.until('Z')));
    relay.close();
  });
});

describe('a crowd in front of a full pool', () => {
  it('that leaves in the middle leaves no line, and the next client is served', async () => {
    const connect = await newTenant('crowded', { maxConnections: 1, acquireTimeoutMs: 60_000 });
    const clients = await Promise.all(Array.from({ length: 60 }, () => connect()));
    const [holder, ...crowd] = clients;
    assert.ok(holder);
    await ask(holder, 'BEGIN; SELECT 1');
    for (const client of crowd) client.send(query('SELECT 1'));
    await untilWaiting(proxy, crowd.length);
    for (const [index, client] of crowd.entries()) {
      if (index % 3 === 0) client.destroy();
      else if (index % 3 === 1) client.end();
      else await cancel(client);
    }
    await untilWaiting(proxy, 0);
    await ask(holder, 'COMMIT');
    const next = await connect();
    assert.equal(await ask(next, 'SELECT 9'), '9');
  });
});

async function cancel(client: RawClient): Promise<void> {
  const canceller = await RawClient.connect(proxy);
  canceller.cancel(client.key());
  await canceller.closed();
}

const waiting = () => metric(proxy, 'dbbouncer_connections_waiting');

describe('a server that comes back with other settings', () => {
  it('is what new clients are greeted with, and what old ones are told', async () => {
    const connect = await newTenant('upgraded');
    const old = await connect();
    assert.equal(old.parameter('DateStyle'), 'ISO, MDY');
    await cluster.sql('postgres', `ALTER DATABASE upgraded SET DateStyle = 'German'`);
    await proxy.operate('upgraded', 'reconnect');
    assert.equal(await ask(old, `SELECT '2026-11-21'::date`), '21.11.2026');
    const fresh = await connect();
    assert.equal(fresh.parameter('DateStyle'), 'German, DMY');
  });
});
