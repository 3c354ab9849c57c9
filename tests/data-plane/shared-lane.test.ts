/**
 * The shared lane: harmless reads of many clients run one behind another on a few server
 * connections. What each client reads is what it would read alone, whatever its neighbours do.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import { eventually } from '../support/eventually.ts';
import { LaneBreaker } from '../support/lane-breaker.ts';
import { metric, untilAtRest } from '../support/proxy-metrics.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import * as messages from '../support/raw-client.ts';
import type { CancelKey, RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { untilRunning } from './running-statements.ts';

const PASSWORD = 'lane secret';
const POOL = {
  poolMode: 'transaction',
  minConnections: 0,
  maxConnections: 6,
  leakDetector: 'off',
} as const;
let cluster: PostgresCluster;
let proxy: TestProxy;
const connected = new Set<RawClient>();

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  proxy = await TestProxy.start({ tenants: [] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});
afterEach(async () => {
  for (const client of connected) client.destroy();
  connected.clear();
  await untilAtRest(proxy);
});

type Connect = (parameters?: Readonly<Record<string, string>>) => Promise<RawClient>;

/** A tenant whose database has `numbers`, the integers below 1,000, and more of `sql`. */
async function newTenant(
  id: string,
  pool: PoolOverrides = {},
  sql = '',
  port = cluster.port,
): Promise<Connect> {
  await cluster.sql('postgres', `CREATE DATABASE ${id}`);
  await cluster.sql(
    id,
    `CREATE TABLE numbers AS SELECT n FROM generate_series(0, 999) n; ${sql}; ANALYZE numbers`,
  );
  await proxy.setTenant({
    id,
    port,
    database: id,
    username: 'postgres',
    password: PASSWORD,
    pool: { ...POOL, ...pool },
  });
  return async (parameters = {}) => {
    const login = { user: 'postgres', password: PASSWORD, database: id, parameters };
    const client = await RawClient.login(proxy, login);
    connected.add(client);
    return client;
  };
}

async function ask(client: RawClient, sql: string): Promise<string[]> {
  client.send(query(sql));
  return firstColumns(await client.until('Z'));
}

const codes = (replies: readonly RawMessage[]) =>
  replies.filter(({ type }) => type === 'E').map((message) => fields(message)['C']);

const read = (n: number) => `SELECT n FROM numbers WHERE n = ${n}`;
const kept = (tenant: string) => metric(proxy, 'dbbouncer_connections_kept', { tenant });
const shared = (tenant: string) => metric(proxy, 'dbbouncer_shared_batches_total', { tenant });
const resent = (reason: string) => metric(proxy, 'dbbouncer_shared_resent_total', { reason });

/** Has all clients read at once until the tenant has its lane. */
async function untilShared(tenant: string, clients: readonly RawClient[]): Promise<void> {
  await eventually(`${tenant} has a shared connection`, async () => {
    await Promise.all(clients.map((client, at) => ask(client, read(at))));
    return (await kept(tenant)) > 0;
  });
}

/** Eight clients of a tenant that has its lane open. */
async function crowd(tenant: string, connect: Connect): Promise<RawClient[]> {
  const clients = await Promise.all(Array.from({ length: 8 }, () => connect()));
  await untilShared(tenant, clients);
  return clients;
}

async function cancel(key: CancelKey): Promise<void> {
  const canceller = await RawClient.connect(proxy);
  canceller.cancel(key);
  await canceller.closed();
}

describe('the shared lane', () => {
  it('answers each of 40 clients with its own rows, over 3 server connections', async () => {
    const connect = await newTenant('crowded', { idleTimeoutMs: 500 });
    await crowd('crowded', connect);
    const clients = await Promise.all(Array.from({ length: 40 }, () => connect()));
    let round = 0;
    await eventually('500 reads were shared', async () => {
      round += 1;
      const asked = clients.map((_, at) => (at * 25 + round) % 1_000);
      const answers = await Promise.all(
        clients.map((client, at) => ask(client, read(asked[at] as number))),
      );
      assert.deepEqual(
        answers.map(([n]) => Number(n)),
        asked,
      );
      return (await shared('crowded')) >= 500;
    });
    const sql = "SELECT pid FROM pg_stat_activity WHERE datname = 'crowded'";
    await eventually('at most 3 server connections are left', async () => {
      await Promise.all(clients.map((client, at) => ask(client, read(at))));
      return (await cluster.sql('postgres', sql)).length <= 3;
    });
  });

  it('runs statements that clients have prepared, unnamed ones included', async () => {
    const connect = await newTenant('preparing', { maxPreparedStatements: 3 });
    const clients = await crowd('preparing', connect);
    const { parse, bind, describe: describeMessage, execute, sync } = messages;
    for (const [at, client] of clients.entries()) {
      client.send(
        Buffer.concat([parse(`SELECT n + $1 + ${at} FROM numbers WHERE n = 1`, 's'), sync()]),
      );
      await client.until('Z');
    }
    for (let round = 0; round < 40; round += 1) {
      const named = Buffer.concat([bind([String(round)], 's'), execute(), sync()]);
      const unnamed = Buffer.concat([
        parse('SELECT n + $1 FROM numbers WHERE n = 2'),
        bind([String(round)]),
        describeMessage('P'),
        execute(),
        sync(),
      ]);
      const answers = await Promise.all(
        clients.map(async (client, at) => {
          client.send(at % 2 === 0 ? named : unnamed);
          return firstColumns(await client.until('Z'))[0];
        }),
      );
      assert.deepEqual(
        answers,
        clients.map((_, at) => String(at % 2 === 0 ? round + at + 1 : round + 2)),
      );
    }
    assert.ok((await shared('preparing')) > 100);
  });

  it('tells an error to the client that made it, in its own words', async () => {
    const connect = await newTenant('failing');
    const clients = await crowd('failing', connect);
    for (let round = 0; round < 20; round += 1) {
      const answers = await Promise.all(
        clients.map(async (client, at) => {
          client.send(query(at % 2 === 0 ? 'SELECT 1 / (n - n) FROM numbers' : read(at)));
          return client.until('Z');
        }),
      );
      for (const [at, answer] of answers.entries()) {
        if (at % 2 === 0) assert.deepEqual(codes(answer), ['22012']);
        else assert.deepEqual([codes(answer), firstColumns(answer)], [[], [String(at)]]);
      }
    }
  });

  it('does not let a read that stands still hold up its neighbours', async () => {
    const connect = await newTenant('stalled', {}, 'CREATE TABLE locked AS SELECT 7 AS n');
    const clients = await crowd('stalled', connect);
    const [stuck, ...others] = clients as [RawClient, ...RawClient[]];
    for (const client of clients) await ask(client, 'SELECT n FROM locked');
    const locker = await connect();
    await ask(locker, 'BEGIN');
    await ask(locker, 'LOCK TABLE locked');
    stuck.send(query('SELECT n FROM locked'));
    const beganMs = performance.now();
    for (let round = 0; round < 10; round += 1) {
      const answers = await Promise.all(others.map((client, at) => ask(client, read(at))));
      assert.deepEqual(
        answers.flat(),
        others.map((_, at) => String(at)),
      );
    }
    const tookMs = performance.now() - beganMs;
    assert.ok(tookMs < 2_000, `10 rounds took ${Math.round(tookMs)} ms beside a lock`);
    await ask(locker, 'COMMIT');
    assert.deepEqual(firstColumns(await stuck.until('Z')), ['7']);
  });

  it('cancels the read it was asked to, and no other', async () => {
    const connect = await newTenant('cancelling', {}, 'CREATE TABLE locked AS SELECT 7 AS n');
    const clients = await crowd('cancelling', connect);
    for (const client of clients) await ask(client, 'SELECT n FROM locked');
    const locker = await connect();
    await ask(locker, 'BEGIN');
    await ask(locker, 'LOCK TABLE locked');
    for (const client of clients) client.send(query('SELECT n FROM locked'));
    await untilRunning(cluster, 'SELECT n FROM locked');
    const [first, second, ...others] = clients as [RawClient, RawClient, ...RawClient[]];
    await Promise.all([cancel(first.key()), cancel(second.key())]);
    assert.deepEqual(codes(await first.until('Z')), ['57014']);
    assert.deepEqual(codes(await second.until('Z')), ['57014']);
    await ask(locker, 'COMMIT');
    for (const client of others) {
      const answer = await client.until('Z');
      assert.deepEqual([codes(answer), firstColumns(answer)], [[], ['7']]);
    }
    assert.deepEqual(await ask(first, read(1)), ['1']);
  });

  it('gives everybody an answer when its connection breaks between any two bytes', async () => {
    const breaker = await LaneBreaker.start(cluster.port);
    const connect = await newTenant('losing', {}, '', breaker.port);
    const clients = await crowd('losing', connect);
    for (let bytes = 0; bytes < 160; bytes += 5) {
      await untilShared('losing', clients);
      breaker.breakAfter(bytes);
      const answers = await Promise.all(
        clients.map(async (client, at) => {
          client.send(query(read(at)));
          return client.until('Z');
        }),
      );
      for (const [at, answer] of answers.entries()) {
        // One whose reply had begun cannot be answered again: it is told so, or nothing more.
        if (answer.at(-1)?.type === 'Z') assert.deepEqual(firstColumns(answer), [String(at)]);
        else {
          assert.ok(
            codes(answer).every((code) => code === '08006'),
            codes(answer).join(),
          );
          clients[at] = await connect();
        }
      }
    }
    assert.ok(breaker.broken > 10, `${breaker.broken} connections were broken`);
    breaker.close();
  });

  it('lets a client that reads slowly hold up nobody, and gives it all its rows', async () => {
    const connect = await newTenant(
      'slow',
      {},
      `CREATE TABLE wide AS
      SELECT repeat('x', 10000) AS n FROM generate_series(1, 600)`,
    );
    const clients = await crowd('slow', connect);
    const [slow, ...others] = clients as [RawClient, ...RawClient[]];
    slow.socket.pause();
    slow.send(query('SELECT n FROM wide'));
    for (let round = 0; round < 20; round += 1) {
      const answers = await Promise.all(others.map((client, at) => ask(client, read(at))));
      assert.deepEqual(
        answers.flat(),
        others.map((_, at) => String(at)),
      );
    }
    slow.socket.resume();
    const rows = firstColumns(await slow.until('Z'));
    assert.equal(rows.length, 600);
    assert.ok(rows.every((row) => row.length === 10_000));
  });

  it('serves clients of different time zones with their own', async () => {
    const connect = await newTenant('zones');
    await crowd('zones', connect);
    const zones = ['UTC', 'Asia/Tokyo', 'America/New_York', 'Europe/Berlin'];
    const clients = await Promise.all(
      Array.from({ length: 16 }, (_, at) => connect({ TimeZone: zones[at % 4] as string })),
    );
    const hours = ['12', '21', '07', '13'];
    for (let round = 0; round < 40; round += 1) {
      const answers = await Promise.all(
        clients.map((client) =>
          ask(client, "SELECT CAST(CAST('2026-01-01 12:00Z' AS timestamptz) AS text)"),
        ),
      );
      for (const [at, [time = '']] of answers.entries()) {
        assert.equal(time.slice(11, 13), hours[at % 4]);
      }
    }
    assert.ok((await shared('zones')) > 100);
  });

  it('ends a read that takes longer than query_timeout, in the words of the proxy', async () => {
    const connect = await newTenant(
      'timed',
      { queryTimeoutMs: 400 },
      'CREATE TABLE locked AS SELECT 7 AS n',
    );
    const clients = await crowd('timed', connect);
    for (const client of clients) await ask(client, 'SELECT n FROM locked');
    const locker = await connect();
    await ask(locker, 'BEGIN');
    await ask(locker, 'LOCK TABLE locked');
    for (const client of clients) client.send(query('SELECT n FROM locked'));
    for (const client of clients) {
      const answer = await client.until('Z');
      assert.deepEqual(codes(answer), ['57014']);
      const error = answer.find(({ type }) => type === 'E');
      assert.match(error ? (fields(error)['M'] ?? '') : '', /query_timeout of tenant "timed"/);
    }
    await ask(locker, 'COMMIT');
    assert.deepEqual(await ask(clients[0] as RawClient, read(1)), ['1']);
  });

  it('runs what wants to write after all by itself, once', async () => {
    const connect = await newTenant('missed', {}, 'CREATE TABLE log (n int)');
    const clients = await crowd('missed', connect);
    const before = await resent('read_only');
    // Behind the back of the proxy, which looks into the catalogue now and then.
    await cluster.sql(
      'missed',
      `CREATE FUNCTION public.abs(int) RETURNS int LANGUAGE sql AS
      'INSERT INTO public.log VALUES ($1) RETURNING n'; ALTER ROLE postgres IN DATABASE missed
      SET search_path = public, pg_catalog`,
    );
    const late = await Promise.all(
      Array.from({ length: 8 }, () => connect({ search_path: 'public, pg_catalog' })),
    );
    const rounds = 5;
    for (let round = 0; round < rounds; round += 1) {
      const answers = await Promise.all(
        late.map((client) => ask(client, 'SELECT abs(n) FROM numbers WHERE n = 3')),
      );
      assert.deepEqual(
        answers.flat(),
        late.map(() => '3'),
      );
    }
    const [row] = await cluster.sql('missed', 'SELECT count(*)::int AS n FROM log');
    assert.equal(Number(row?.['n']), rounds * late.length, 'each ran once');
    assert.ok((await resent('read_only')) >= before);
    assert.ok(clients.length > 0);
  });

  for (const [words, pool] of [
    ['pipeline is off', { pipeline: 'off' }],
    ['max_connections is 2', { maxConnections: 2 }],
    ['shared_connections is 0', { sharedConnections: 0 }],
    ['the pool mode is session', { poolMode: 'session', maxConnections: 8 }],
  ] as const) {
    it(`is not there when ${words}`, async () => {
      const id = `off_${words.replaceAll(/\W/g, '_')}`;
      const connect = await newTenant(id, pool);
      const clients = await Promise.all(Array.from({ length: 8 }, () => connect()));
      for (let round = 0; round < 20; round += 1) {
        const answers = await Promise.all(clients.map((client, at) => ask(client, read(at))));
        assert.deepEqual(
          answers.flat(),
          clients.map((_, at) => String(at)),
        );
      }
      assert.equal(await kept(id), 0);
      assert.equal(await shared(id), 0);
    });
  }

  it('makes room for clients that need a connection of their own', async () => {
    const connect = await newTenant('yielding', { maxConnections: 4, acquireTimeoutMs: 3_000 });
    await crowd('yielding', connect);
    const writers = await Promise.all(Array.from({ length: 4 }, () => connect()));
    // All four connections are needed at once.
    for (const writer of writers) writer.send(query('BEGIN; SELECT pg_sleep(0)'));
    for (const writer of writers) assert.deepEqual(codes(await writer.until('Z')), []);
    assert.equal(await kept('yielding'), 0);
    for (const writer of writers) await ask(writer, 'COMMIT');
  });

  it('comes back after the tenant was paused and resumed', async () => {
    const connect = await newTenant('resumed');
    const clients = await crowd('resumed', connect);
    await proxy.operate('resumed', 'pause');
    await eventually('no connection is kept', async () => (await kept('resumed')) === 0);
    await proxy.operate('resumed', 'resume');
    await untilShared('resumed', clients);
  });

  it('is gone when its clients are, and the pool has its minimum', async () => {
    const connect = await newTenant('leaving', { idleTimeoutMs: 300 });
    const clients = await crowd('leaving', connect);
    for (const client of clients) client.end();
    const sql = "SELECT pid FROM pg_stat_activity WHERE datname = 'leaving'";
    await eventually(
      'no server connection is left',
      async () => (await cluster.sql('postgres', sql)).length === 0,
    );
  });
});
