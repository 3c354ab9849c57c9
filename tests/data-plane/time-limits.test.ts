/**
 * How long clients may be idle, keep a transaction, wait for a statement, and leave results unread:
 * what each of them reads, in both modes, and who is never hit.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolMode, PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import { eventually } from '../support/eventually.ts';
import { metric } from '../support/proxy-metrics.ts';
import {
  bind,
  copyData,
  copyDone,
  execute,
  fields,
  firstColumns,
  flush,
  parse,
  query,
  RawClient,
  sync,
} from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'time secret';
const LIMIT_MS = 200;
const SLEEP = 'SELECT pg_sleep(60)';
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', 'CREATE TABLE kept (tenant text)');
  await cluster.sql(
    'postgres',
    `CREATE FUNCTION never_gives_up() RETURNS void LANGUAGE plpgsql AS $$
      BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;
      END LOOP; END $$`,
  );
  proxy = await TestProxy.start({ tenants: [] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

/** A tenant of one test. */
interface Limited {
  readonly id: string;
  readonly connect: () => Promise<RawClient>;
  /** Resolves when none of its server connections has anything to do. */
  readonly untilIdle: () => Promise<true>;
  /** Rows in `kept` that carry its name. */
  readonly rows: () => Promise<number>;
}

let tenants = 0;

/** Gives `use` a client of a tenant with these limits, which leaves nothing behind. */
async function withLimits(
  pool: PoolOverrides,
  use: (client: RawClient, tenant: Limited) => Promise<void>,
): Promise<void> {
  const id = `tenant-${++tenants}`;
  const login = { port: cluster.port, username: 'postgres', password: PASSWORD };
  const wanted = { minConnections: 0, maxConnections: 2, ...pool };
  await proxy.setTenant({ id, database: 'postgres', ...login, pool: wanted });
  const connect = () =>
    RawClient.login(proxy, { user: 'postgres', password: PASSWORD, database: id });
  const isZero = async (name: string) => (await metric(proxy, name, { tenant: id })) === 0;
  const untilIdle = () =>
    eventually(`${id} has nothing to do`, () => isZero('dbbouncer_connections_active'));
  const sql = `SELECT 1 FROM kept WHERE tenant = '${id}'`;
  const rows = async () => (await cluster.sql('postgres', sql)).length;
  const client = await connect();
  await use(client, { id, connect, untilIdle, rows });
  client.end();
  await eventually(`${id} has no client`, () => isZero('dbbouncer_tenant_clients'));
  await untilIdle();
  await proxy.removeTenant(id);
}

async function ask(client: RawClient, sql: string): Promise<readonly RawMessage[]> {
  client.send(query(sql));
  return client.until('Z');
}

function errorOf(messages: readonly RawMessage[]): string {
  const error = messages.find(({ type }) => type === 'E');
  assert.ok(error !== undefined, 'an error was sent');
  const { S, C, M, H } = fields(error);
  assert.ok((H ?? '').length > 0, 'the error has a hint');
  return `${S} ${C}: ${M}`;
}

/** The FATAL that the client reads as its last message, and after how many ms since `from`. */
async function ending(client: RawClient, from = 0) {
  const error = errorOf(await client.until('E'));
  const afterMs = performance.now() - from;
  assert.equal(await client.next(), undefined);
  return { error, afterMs };
}

function clientIdleTimeout(poolMode: PoolMode): void {
  it('ends a client idle for 200 ms with 57P05, and not before', () =>
    withLimits({ poolMode, clientIdleTimeoutMs: LIMIT_MS }, async (client, { id }) => {
      const from = performance.now();
      await ask(client, 'SELECT 1');
      const { error, afterMs } = await ending(client, from);
      const words = 'terminating connection due to idle-session timeout: client_idle_timeout';
      assert.equal(error, `FATAL 57P05: ${words} of tenant "${id}" is ${LIMIT_MS} ms`);
      assert.ok(afterMs >= LIMIT_MS, `${afterMs} ms`);
    }));

  it('of 400 ms spares a client that asks every 50 ms', () =>
    withLimits({ poolMode, clientIdleTimeoutMs: 400 }, async (client) => {
      for (let asked = 0; asked < 16; asked++) {
        assert.deepEqual(firstColumns(await ask(client, 'SELECT 1')), ['1']);
        await pause(50);
      }
    }));

  it('ends a client that never asked anything', () =>
    withLimits({ poolMode, clientIdleTimeoutMs: LIMIT_MS }, async (client) => {
      assert.match((await ending(client)).error, /^FATAL 57P05/);
    }));

  it('spares transactions and statements', () =>
    withLimits({ poolMode, clientIdleTimeoutMs: LIMIT_MS }, async (client) => {
      await ask(client, 'BEGIN');
      await pause(3 * LIMIT_MS);
      const messages = await ask(client, `SELECT pg_sleep(${(3 * LIMIT_MS) / 1000})`);
      assert.equal(messages.at(-1)?.body.toString(), 'T');
    }));

  it('holds for clients that were connected when it was set', () =>
    withLimits({ poolMode }, async (client, { id }) => {
      await ask(client, 'SELECT 1');
      await pause(2 * LIMIT_MS);
      await proxy.setPool(id, { clientIdleTimeoutMs: LIMIT_MS });
      assert.match((await ending(client)).error, /^FATAL 57P05/);
    }));
}

function transactionTimeouts(poolMode: PoolMode): void {
  const idle = { poolMode, idleInTransactionTimeoutMs: LIMIT_MS };

  it('idle_in_transaction_timeout ends a client with 25P03 and undoes its work', () =>
    withLimits(idle, async (client, { id, untilIdle, rows }) => {
      await pause(2 * LIMIT_MS);
      await ask(client, 'BEGIN');
      const from = performance.now();
      await ask(client, `INSERT INTO kept VALUES ('${id}')`);
      const { error, afterMs } = await ending(client, from);
      const words = 'terminating connection due to idle-in-transaction timeout';
      const setting = `idle_in_transaction_timeout of tenant "${id}"`;
      assert.equal(error, `FATAL 25P03: ${words}: ${setting} is ${LIMIT_MS} ms`);
      assert.ok(afterMs >= LIMIT_MS, `${afterMs} ms`);
      await untilIdle();
      assert.equal(await rows(), 0);
    }));

  it('idle_in_transaction_timeout ends a client whose transaction has failed', () =>
    withLimits(idle, async (client) => {
      await ask(client, 'BEGIN');
      await ask(client, 'SELECT 1/0');
      assert.match((await ending(client)).error, /^FATAL 25P03/);
    }));

  it('idle_in_transaction_timeout ends a client that stops before its Sync', () =>
    withLimits(idle, async (client) => {
      client.send(Buffer.concat([parse('SELECT 1'), bind(), execute(), flush()]));
      await client.until('C');
      assert.match((await ending(client)).error, /^FATAL 25P03/);
    }));

  it('idle_in_transaction_timeout ends a client that stops in COPY FROM STDIN', () =>
    withLimits(idle, async (client, { id, untilIdle, rows }) => {
      client.send(query('COPY kept FROM STDIN'));
      await client.until('G');
      client.send(copyData(`${id}\n`));
      assert.match((await ending(client)).error, /^FATAL 25P03/);
      await untilIdle();
      assert.equal(await rows(), 0);
    }));

  it('transaction_timeout of 600 ms ends a client that keeps asking, with 25P04', () =>
    withLimits({ poolMode, transactionTimeoutMs: 600 }, async (client, tenant) => {
      await pause(800);
      const from = performance.now();
      await ask(client, `BEGIN; INSERT INTO kept VALUES ('${tenant.id}')`);
      let last: readonly RawMessage[] = [];
      while (last.every(({ type }) => type !== 'E')) {
        await pause(50);
        last = await ask(client, 'SELECT 1');
      }
      assert.ok(performance.now() - from >= 600);
      const words = 'terminating connection due to transaction timeout: transaction_timeout of';
      assert.equal(errorOf(last), `FATAL 25P04: ${words} tenant "${tenant.id}" is 600 ms`);
      await tenant.untilIdle();
      assert.equal(await tenant.rows(), 0);
    }));
}

function queryTimeout(poolMode: PoolMode): void {
  const pool = { poolMode, queryTimeoutMs: LIMIT_MS };

  it('cancels the statement with 57014, and its client goes on', () =>
    withLimits(pool, async (client, { id, untilIdle }) => {
      await pause(2 * LIMIT_MS);
      const from = performance.now();
      const words = 'canceling statement due to statement timeout: query_timeout of tenant';
      const expected = `ERROR 57014: ${words} "${id}" is ${LIMIT_MS} ms`;
      assert.equal(errorOf(await ask(client, SLEEP)), expected);
      assert.ok(performance.now() - from >= LIMIT_MS);
      if (poolMode === 'transaction') await untilIdle();
      assert.deepEqual(firstColumns(await ask(client, 'SELECT 1')), ['1']);
    }));

  it('cancels a batch of the extended protocol up to its Sync', () =>
    withLimits(pool, async (client) => {
      const batch = (sql: string) => [parse(sql), bind(), execute()];
      const one = [...batch(SLEEP), ...batch('SELECT 1'), sync()];
      client.send(Buffer.concat([...one, ...batch('SELECT 2'), sync()]));
      const first = await client.until('Z');
      assert.match(errorOf(first), /57014.*query_timeout/);
      assert.deepEqual(firstColumns(first), []);
      assert.deepEqual(firstColumns(await client.until('Z')), ['2']);
    }));

  it('fails a transaction, which its client can roll back', () =>
    withLimits(pool, async (client) => {
      await ask(client, 'BEGIN');
      const messages = await ask(client, SLEEP);
      assert.match(errorOf(messages), /57014.*query_timeout/);
      assert.equal(messages.at(-1)?.body.toString(), 'E');
      await ask(client, 'ROLLBACK');
      assert.deepEqual(firstColumns(await ask(client, 'SELECT 1')), ['1']);
    }));

  it('of 400 ms spares 15 statements of 50 ms in a transaction', () =>
    withLimits({ poolMode, queryTimeoutMs: 400 }, async (client) => {
      await ask(client, 'BEGIN');
      for (let asked = 0; asked < 15; asked++) {
        assert.deepEqual(firstColumns(await ask(client, 'SELECT pg_sleep(0.05)')), ['']);
      }
    }));

  it('spares COPY FROM STDIN, in which the server waits for the client', () =>
    withLimits(pool, async (client, { id, rows }) => {
      client.send(query('COPY kept FROM STDIN'));
      await client.until('G');
      for (let sent = 0; sent < 3; sent++) {
        await pause(LIMIT_MS);
        client.send(copyData(`${id}\n`));
      }
      client.send(copyDone());
      await client.until('Z');
      assert.equal(await rows(), 3);
    }));

  it('leaves the words of other cancels as they are', () =>
    withLimits({ poolMode, queryTimeoutMs: 60_000 }, async (client) => {
      await ask(client, `BEGIN; SET LOCAL statement_timeout = '50ms'`);
      const error = (await ask(client, SLEEP)).find(({ type }) => type === 'E');
      assert.ok(error !== undefined);
      assert.equal(fields(error)['M'], 'canceling statement due to statement timeout');
    }));

  it('ends a client whose statement goes on for cancel_wait_timeout after the cancel', () =>
    withLimits(
      { ...pool, cancelWaitTimeoutMs: LIMIT_MS, maxConnections: 1 },
      async (client, { connect }) => {
        const next = poolMode === 'transaction' ? await connect() : undefined;
        const from = performance.now();
        client.send(query('SELECT never_gives_up()'));
        const { error, afterMs } = await ending(client, from);
        assert.match(error, /^FATAL 57014: .*did not end: cancel_wait_timeout of tenant/);
        assert.ok(afterMs >= 2 * LIMIT_MS, `${afterMs} ms`);
        const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE query = 'SELECT never_gives_up()'`;
        await cluster.sql('postgres', end);
        if (next === undefined) return;
        assert.deepEqual(firstColumns(await ask(next, 'SELECT 1')), ['1']);
        next.end();
      },
    ));
}

function slowClientTimeout(poolMode: PoolMode): void {
  it('ends a client that leaves its results unread', () =>
    withLimits({ poolMode, slowClientTimeoutMs: LIMIT_MS }, async (client, tenant) => {
      client.socket.pause();
      client.send(query(`SELECT repeat('x', 1000) FROM generate_series(1, 200000)`));
      const clients = () => metric(proxy, 'dbbouncer_tenant_clients', { tenant: tenant.id });
      await eventually('it is ended', async () => (await clients()) === 0);
      await tenant.untilIdle();
      client.destroy();
    }));

  it('of 400 ms spares a client that takes them in portions', () =>
    withLimits({ poolMode, slowClientTimeoutMs: 400 }, async (client) => {
      client.send(query(`SELECT repeat('x', 1000) FROM generate_series(1, 16000)`));
      let rows = 0;
      for (let message = await client.next(); message?.type !== 'Z';) {
        assert.ok(message !== undefined && message.type !== 'E');
        if (message.type === 'D' && ++rows % 2000 === 0) {
          client.socket.pause();
          await pause(100);
          client.socket.resume();
        }
        message = await client.next();
      }
      assert.equal(rows, 16_000);
    }));
}

function whoWaits(poolMode: PoolMode): void {
  const limits = {
    clientIdleTimeoutMs: LIMIT_MS,
    queryTimeoutMs: LIMIT_MS,
    transactionTimeoutMs: LIMIT_MS,
    slowClientTimeoutMs: LIMIT_MS,
  };

  it('is spared in line for a server connection', () =>
    withLimits({ poolMode, maxConnections: 1 }, async (holder, { id, connect }) => {
      await ask(holder, 'BEGIN; SELECT 1');
      const waiting = await connect();
      waiting.send(query('SELECT 5'));
      const inLine = () => metric(proxy, 'dbbouncer_connections_waiting', { tenant: id });
      await eventually('it waits', async () => (await inLine()) === 1);
      await proxy.setPool(id, { clientIdleTimeoutMs: LIMIT_MS, queryTimeoutMs: LIMIT_MS });
      await pause(4 * LIMIT_MS);
      holder.end();
      assert.deepEqual(firstColumns(await waiting.until('Z')), ['5']);
      waiting.end();
    }));

  it('is spared while the tenant is paused', () =>
    withLimits({ poolMode }, async (client, { id }) => {
      await proxy.operate(id, 'pause');
      client.send(query('SELECT 6'));
      const inLine = () => metric(proxy, 'dbbouncer_connections_waiting', { tenant: id });
      await eventually('it waits', async () => (await inLine()) === 1);
      await proxy.setPool(id, limits);
      await pause(4 * LIMIT_MS);
      await proxy.operate(id, 'resume');
      assert.deepEqual(firstColumns(await client.until('Z')), ['6']);
    }));
}

describe('a client that listens', { concurrency: true }, () => {
  const listening = (pool: PoolOverrides, outcome: (client: RawClient) => Promise<void>) =>
    withLimits({ clientIdleTimeoutMs: LIMIT_MS, ...pool }, async (client) => {
      await ask(client, 'LISTEN news');
      await outcome(client);
    });

  it('is not idle where it holds no server connection, until it gives up listening', () =>
    listening({ poolMode: 'transaction' }, async (client) => {
      await pause(3 * LIMIT_MS);
      assert.deepEqual(firstColumns(await ask(client, 'SELECT 1')), ['1']);
      await ask(client, 'UNLISTEN *');
      assert.match((await ending(client)).error, /^FATAL 57P05/);
    }));

  it('is idle where it keeps its server connection for it', async () => {
    const isEnded = async (client: RawClient) =>
      assert.match((await ending(client)).error, /^FATAL 57P05/);
    await listening({ poolMode: 'transaction', listen: 'pin' }, isEnded);
    await listening({ poolMode: 'session' }, isEnded);
  });
});

for (const mode of ['transaction', 'session'] as const) {
  describe(`in ${mode} mode`, { concurrency: true }, () => {
    describe('client_idle_timeout', { concurrency: true }, () => clientIdleTimeout(mode));
    describe('a transaction', { concurrency: true }, () => transactionTimeouts(mode));
    describe('query_timeout', { concurrency: true }, () => queryTimeout(mode));
    describe('slow_client_timeout', { concurrency: true }, () => slowClientTimeout(mode));
    describe('who waits', { concurrency: true }, () => whoWaits(mode));
  });
}
