/**
 * What a pool does with its server connections, as the server counts them and as clients read it:
 * the reserve, rotation, checks of idle connections, notices of waits, keepalive.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import { eventually } from '../support/eventually.ts';
import { metric, untilAtRest, untilWaiting } from '../support/proxy-metrics.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'behaviour secret';
/** Queries are counted and server connections watched: the detector of leaks would ask its own. */
const UNWATCHED = { leakDetector: 'off' } as const;
const POOL = { ...UNWATCHED, poolMode: 'transaction', maxConnections: 3 } as const;
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  proxy = await TestProxy.start({
    tenants: [],
    env: { DBBOUNCER_TCP_KEEPALIVE_IDLE: '20s' },
  });
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

/** A tenant with a database of its own, so that the server tells its connections from others. */
async function newTenant(id: string, pool: PoolOverrides): Promise<() => Promise<RawClient>> {
  await cluster.sql('postgres', `CREATE DATABASE ${id}`);
  const login = { username: 'postgres', password: PASSWORD };
  await proxy.setTenant({
    id,
    port: cluster.port,
    database: id,
    ...login,
    pool: { ...POOL, minConnections: 0, ...pool },
  });
  return async () => {
    const login = { user: 'postgres', password: PASSWORD, database: id };
    const client = await RawClient.login(proxy, login);
    connected.add(client);
    return client;
  };
}

/** The process ids of the server's own for the proxy's connections to `database`. */
async function serverPids(database: string): Promise<string[]> {
  const sql = `SELECT pid::text FROM pg_stat_activity
    WHERE datname = '${database}' AND application_name LIKE 'dbb:%' ORDER BY pid`;
  return (await cluster.sql('postgres', sql)).map(({ pid }) => String(pid));
}

async function ask(client: RawClient, sql: string): Promise<string | undefined> {
  client.send(query(sql));
  return firstColumns(await client.until('Z'))[0];
}

/**
 * The only server connection of a pool of 1: after the second question the proxy has looked into
 * the catalog, for which it stood in line, and does so no more for 15 s.
 */
async function settledPid(client: RawClient): Promise<string | undefined> {
  await ask(client, 'SELECT pg_backend_pid()');
  const pid = await ask(client, 'SELECT pg_backend_pid()');
  // Whatever the proxy does about that comes before this, and nothing comes after it.
  await ask(client, 'SELECT 1');
  return pid;
}

const closes = (reason: string) => metric(proxy, 'dbbouncer_server_closes_total', { reason });

describe('reserve_connections 1 of max_connections 3, reserve_timeout 400 ms', () => {
  it('opens the 3rd connection for who waited 400 ms, and closes it when unused', async () => {
    const reserve = { reserveConnections: 1, reserveTimeoutMs: 400 };
    const connect = await newTenant('reserve', { ...reserve, idleTimeoutMs: 60_000 });
    const clients = [await connect(), await connect(), await connect()];
    const [one, two, three] = clients;
    assert.ok(one && two && three);
    await ask(one, 'BEGIN; SELECT 1');
    await ask(two, 'BEGIN; SELECT 1');
    const beganMs = performance.now();
    three.send(query('SELECT 3'));
    await untilWaiting(proxy, 1);
    assert.equal((await serverPids('reserve')).length, 2);
    assert.deepEqual(firstColumns(await three.until('Z')), ['3']);
    assert.ok(performance.now() - beganMs >= 395, 'it had to wait for the reserve');
    assert.equal((await serverPids('reserve')).length, 3);

    const before = await closes('reserve_unused');
    await ask(one, 'COMMIT');
    await ask(two, 'COMMIT');
    const isClosed = async () => (await serverPids('reserve')).length === 2;
    await eventually('the reserve is closed again', isClosed);
    assert.equal((await closes('reserve_unused')) - before, 1);
  });
});

describe('max_queries 50', () => {
  it('gives a client another connection after 40 to 50 queries, and never in between', async () => {
    const connect = await newTenant('worn', { maxConnections: 1, maxQueries: 50 });
    const client = await connect();
    const runs: { pid: string | undefined; queries: number }[] = [];
    for (let done = 0; done < 170; done += 1) {
      const pid = await ask(client, 'SELECT pg_backend_pid()');
      const last = runs.at(-1);
      if (last !== undefined && last.pid === pid) last.queries += 1;
      else runs.push({ pid, queries: 1 });
    }
    assert.ok(runs.length >= 4, `${runs.length} connections`);
    for (const { queries } of runs.slice(0, -1)) {
      // What the proxy itself asks counts too: it looks into the catalog now and then.
      assert.ok(queries >= 35 && queries <= 50, `one answered ${queries} queries`);
    }
  });

  it('waits for the end of a transaction that goes on beyond it', async () => {
    const connect = await newTenant('long', { maxConnections: 1, maxQueries: 5 });
    const client = await connect();
    await ask(client, 'BEGIN');
    const pids = new Set<string | undefined>();
    for (let done = 0; done < 20; done += 1) {
      pids.add(await ask(client, 'SELECT pg_backend_pid()'));
    }
    await ask(client, 'COMMIT');
    assert.equal(pids.size, 1);
    assert.ok(!pids.has(await ask(client, 'SELECT pg_backend_pid()')));
  });
});

describe('max_lifetime 2 s', () => {
  it('replaces 8 connections of one moment at different times from 1.6 s on', async () => {
    const lifetime = { maxConnections: 8, maxLifetimeMs: 2_000 };
    const connect = await newTenant('jitter', lifetime);
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect()));
    for (const client of clients) client.send(query('BEGIN; SELECT 1'));
    await Promise.all(clients.map((client) => client.until('Z')));
    for (const client of clients) client.send(query('COMMIT'));
    await Promise.all(clients.map((client) => client.until('Z')));
    const bornMs = performance.now();
    const born = new Set(await serverPids('jitter'));
    assert.equal(born.size, 8);

    const lastSeenMs = new Map<string, number>();
    const work = async (client: RawClient) => {
      while (performance.now() - bornMs < 2_500) {
        const pid = await ask(client, 'SELECT pg_backend_pid() FROM pg_sleep(0.002)');
        if (pid !== undefined && born.has(pid)) lastSeenMs.set(pid, performance.now() - bornMs);
      }
    };
    await Promise.all(clients.map(work));
    const ends = [...lastSeenMs.values()];
    assert.equal(ends.length, 8);
    assert.ok(Math.min(...ends) > 1_400, `the first ended after ${Math.min(...ends)} ms`);
    assert.ok(Math.max(...ends) < 2_300, `the last ended after ${Math.max(...ends)} ms`);
    assert.ok(Math.max(...ends) - Math.min(...ends) > 40, `all at once: ${ends.join()}`);
  });
});

describe('server_check_delay 100 ms', () => {
  it('closes a connection whose server has stopped before a client meets it', async () => {
    const connect = await newTenant('hung', {
      serverCheckDelayMs: 100,
      serverConnectTimeoutMs: 300,
      maxConnections: 1,
    });
    const client = await connect();
    const pid = Number(await settledPid(client));
    const before = await closes('check_failed');
    // The process lives and its socket is open, but nobody answers: what a lost machine looks like.
    process.kill(pid, 'SIGSTOP');
    try {
      const isNoticed = async () => (await closes('check_failed')) === before + 1;
      await eventually('the connection is closed', isNoticed);
      const beganMs = performance.now();
      assert.notEqual(await ask(client, 'SELECT pg_backend_pid()'), String(pid));
      assert.ok(performance.now() - beganMs < 1_000, 'the client waited for a new one only');
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });

  it('asks without a statement, so that nobody finds one in pg_stat_activity', async () => {
    const connect = await newTenant('asked', { serverCheckDelayMs: 100, maxConnections: 1 });
    const client = await connect();
    const pid = await settledPid(client);
    await ask(client, 'SELECT 4');
    const now = async () => {
      const sql = `SELECT query, state_change::text FROM pg_stat_activity WHERE pid = ${pid}`;
      return (await cluster.sql('postgres', sql))[0] ?? {};
    };
    const before = await now();
    const isAsked = async () => (await now())['state_change'] !== before['state_change'];
    await eventually('the server was asked', isAsked);
    assert.equal((await now())['query'], 'SELECT 4');
    assert.equal(await ask(client, 'SELECT pg_backend_pid()'), pid);
  });
});

describe('query_wait_notify 150 ms', () => {
  it('sends a NOTICE that names the limit while the client waits, then its result', async () => {
    const connect = await newTenant('notified', { maxConnections: 1, queryWaitNotifyMs: 150 });
    const [holder, client] = [await connect(), await connect()];
    await ask(holder, 'BEGIN; SELECT 1');
    client.send(query('SELECT 11'));
    const notice = (await client.until('N')).at(-1);
    assert.ok(notice !== undefined);
    const { S, C, M, D, H } = fields(notice);
    assert.deepEqual([S, C], ['NOTICE', '00000']);
    assert.match(M ?? '', /tenant "notified": no server connection for 150 ms, still waiting/);
    assert.match(M ?? '', /all 1 of max_connections are in use/);
    assert.match(D ?? '', /reason: pool_full/);
    assert.match(H ?? '', /acquire_timeout/);
    await ask(holder, 'COMMIT');
    const messages = await client.until('Z');
    assert.deepEqual(firstColumns(messages), ['11']);
    assert.equal(messages.filter(({ type }) => type === 'N').length, 0, 'told once');
  });

  it('is said once in each wait, also to a client in session mode', async () => {
    const session = { poolMode: 'session', maxConnections: 1, queryWaitNotifyMs: 100 } as const;
    const connect = await newTenant('patient', { ...session });
    const [holder, client] = [await connect(), await connect()];
    await ask(holder, 'SELECT 1');
    client.send(query('SELECT 2'));
    await client.until('N');
    holder.end();
    assert.deepEqual(firstColumns(await client.until('Z')), ['2']);
  });
});

describe('changed settings of a pool', () => {
  it('keep its server connections: limits and timeouts are not what it is known by', async () => {
    const connect = await newTenant('same', { maxConnections: 1 });
    const client = await connect();
    const pid = await settledPid(client);
    await proxy.setPool('same', {
      maxConnections: 2,
      acquireTimeoutMs: 700,
      idleTimeoutMs: 60_000,
      maxQueries: 1_000,
      reserveTimeoutMs: 1_000,
    });
    assert.equal(await ask(client, 'SELECT pg_backend_pid()'), pid);
  });
});

describe('tcp_keepalive_idle 20 s', { skip: process.platform !== 'linux' }, () => {
  it('has the system probe both sides of a silent session within 20 s', async () => {
    const connect = await newTenant('silent', { maxConnections: 1 });
    const client = await connect();
    await ask(client, 'SELECT 1');
    const clientPort = client.socket.localPort ?? 0;
    const timers = () => timersOf((remote) => remote === clientPort || remote === cluster.port);
    const found = await eventually('nothing is on its way', async () => {
      const now = await timers();
      return now.every(({ kind }) => kind === KEEPALIVE) && now;
    });
    assert.ok(found.length >= 2, 'one to the client, one to the server');
    for (const { seconds } of found) assert.ok(seconds <= 20, `in ${seconds} s`);
  });
});

/** As in proc(5): 2 is a timer that is not for a retransmission. */
const KEEPALIVE = '02';
/** USER_HZ. */
const TICKS_PER_SECOND = 100;
const ESTABLISHED = '01';

interface SocketTimer {
  readonly kind: string;
  readonly seconds: number;
}

/** The system's timers for sockets to some ports. Source: proc(5), /proc/net/tcp. */
async function timersOf(isMeant: (remotePort: number) => boolean): Promise<SocketTimer[]> {
  const table = await readFile('/proc/net/tcp', 'utf8');
  const timers: SocketTimer[] = [];
  for (const line of table.split('\n').slice(1)) {
    const [, , remote = '', state, , timer = ''] = line.trim().split(/\s+/);
    if (state !== ESTABLISHED || !isMeant(parseInt(remote.split(':')[1] ?? '', 16))) continue;
    const [kind = '', ticks = ''] = timer.split(':');
    timers.push({ kind, seconds: parseInt(ticks, 16) / TICKS_PER_SECOND });
  }
  return timers;
}
