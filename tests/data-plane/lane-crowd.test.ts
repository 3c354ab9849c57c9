/**
 * Many clients that begin at once: how many server connections they open before the shared lane
 * serves them all; and what they read when they prepare their statements there.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { eventually } from '../support/eventually.ts';
import { metric, untilAtRest, untilWaiting } from '../support/proxy-metrics.ts';
import {
  bind,
  describe as describeMessage,
  execute,
  fields,
  firstColumns,
  parse,
  query,
  RawClient,
  sync,
} from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'crowd secret';
const CLIENTS = 64;
/** Patient enough for a machine that runs other tests beside this one. */
const POOL = {
  poolMode: 'transaction',
  minConnections: 0,
  maxConnections: 20,
  pipelineStallMs: 2_000,
  pipelineBudgetUs: 10_000_000,
  leakDetector: 'off',
} as const;
/** A third of what there may be, as they would be used without the lane. */
const FEW = 6;
let cluster: PostgresCluster;
let proxy: TestProxy;
let clients: RawClient[] = [];

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  proxy = await TestProxy.start({ tenants: [] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});
afterEach(async () => {
  for (const client of clients) client.destroy();
  clients = [];
  await untilAtRest(proxy);
});

/** So many clients of a new tenant, none of whom has asked anything. */
async function arrive(id: string, count = CLIENTS): Promise<void> {
  await cluster.sql('postgres', `CREATE DATABASE ${id}`);
  await cluster.sql(id, 'CREATE TABLE numbers AS SELECT n FROM generate_series(0, 99) n');
  await proxy.setTenant({
    id,
    port: cluster.port,
    database: id,
    username: 'postgres',
    password: PASSWORD,
    pool: POOL,
  });
  const login = { user: 'postgres', password: PASSWORD, database: id };
  // The first asks the server what to greet all of them with.
  clients = [await RawClient.login(proxy, login)];
  const others = Array.from({ length: count - 1 }, () => RawClient.login(proxy, login));
  clients.push(...(await Promise.all(others)));
}

async function serverConnections(id: string): Promise<number> {
  const sql = `SELECT pid FROM pg_stat_activity WHERE datname = '${id}'`;
  return (await cluster.sql('postgres', sql)).length;
}

describe('64 clients that begin at once', () => {
  it('read over no more than 6 server connections, from the first one on', async () => {
    await arrive('reading');
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(
        clients.map(async (client, at) => {
          client.send(query(`SELECT ${at}`));
          return firstColumns(await client.until('Z'));
        }),
      );
      assert.deepEqual(
        answers.map(([n]) => Number(n)),
        clients.map((_, at) => at),
      );
    }
    const used = await serverConnections('reading');
    assert.ok(used <= FEW, `${used} were opened`);
  });

  it('read over the first connection that is free, before those who would keep it', async () => {
    await arrive('held');
    const reading = query('SELECT n FROM numbers WHERE n = 7');
    // Known, and measured, before the others come.
    await together(() => reading);
    await together(() => reading);
    const [holders, waiting, readers] = [
      clients.slice(0, 20),
      clients.slice(20, 30),
      clients.slice(30),
    ];
    const holding = query('BEGIN; INSERT INTO numbers VALUES (1)');
    await Promise.all(
      holders.map((client) => {
        client.send(holding);
        return client.until('Z');
      }),
    );
    for (const client of waiting) client.send(holding);
    await untilWaiting(proxy, waiting.length);
    for (const client of readers) client.send(reading);
    // The lane itself, for all of them.
    await untilWaiting(proxy, waiting.length + 1);
    holders[0]?.send(query('COMMIT'));
    const answers = await Promise.all(readers.map((client) => client.until('Z')));
    assert.deepEqual(new Set(answers.map((reply) => firstColumns(reply)[0])), new Set(['7']));
    for (const client of holders.slice(1)) client.send(query('COMMIT'));
    await Promise.all(waiting.map((client) => client.until('Z')));
  });

  it('prepare and run over no more than 6 server connections', async () => {
    await arrive('preparing');
    for (let round = 0; round < 5; round++) {
      await together(() => Buffer.concat([parse('SELECT $1::int', `s${round}`), sync()]));
      const replies = await together((at) => run(`s${round}`, [String(at)]));
      assert.deepEqual(
        replies.map((reply) => Number(firstColumns(reply)[0])),
        clients.map((_, at) => at),
      );
    }
    const used = await serverConnections('preparing');
    assert.ok(used <= FEW, `${used} were opened`);
  });
});

const run = (name: string, values: readonly string[] = []) =>
  Buffer.concat([bind(values, name), execute(), sync()]);
const prepared = (sql: string, name: string) =>
  Buffer.concat([parse(sql, name), describeMessage('S', name), sync()]);
const types = (reply: readonly RawMessage[]) => reply.map(({ type }) => type).join('');
const error = (reply: readonly RawMessage[]) => {
  const { C, M } = fields(reply.find(({ type }) => type === 'E') as RawMessage);
  return [C, M];
};

/** What all read who send this at once. */
function together(words: (at: number) => Buffer): Promise<RawMessage[][]> {
  return Promise.all(
    clients.map((client, at) => {
      client.send(words(at));
      return client.until('Z');
    }),
  );
}

/** A few clients of a new tenant that has its lane open. */
async function arriveShared(id: string): Promise<void> {
  await arrive(id, 8);
  await eventually(`${id} has a shared connection`, async () => {
    await together(() => query('SELECT n FROM numbers WHERE n = 1'));
    await together(() => Buffer.concat([parse('SELECT 1', ''), bind(), execute(), sync()]));
    return (await metric(proxy, 'dbbouncer_connections_kept', { tenant: id })) > 0;
  });
}

const shared = (tenant: string) => metric(proxy, 'dbbouncer_shared_batches_total', { tenant });

describe('a statement that is prepared on the shared lane', () => {
  it('is described to each of 8 clients, to the first and to those who find it there', async () => {
    await arriveShared('describing');
    const before = await shared('describing');
    for (let round = 0; round < 20; round++) {
      const sql = `SELECT n AS n${round} FROM numbers WHERE n = $1`;
      const replies = await together(() => prepared(sql, `s${round}`));
      for (const reply of replies) {
        assert.equal(types(reply), '1tTZ');
        assert.ok(reply[2]?.body.includes(`n${round}\0`));
      }
      const ran = await together((at) => run(`s${round}`, [String(at)]));
      assert.deepEqual(
        ran.map((reply) => firstColumns(reply)),
        clients.map((_, at) => [String(at)]),
      );
    }
    const batches = (await shared('describing')) - before;
    assert.ok(batches >= 240, `${batches} of 320 batches were shared`);
  });

  it('does not exist after an error, which each of 8 clients reads; its name is free', async () => {
    await arriveShared('failing');
    for (let round = 0; round < 20; round++) {
      const sql = `SELECT missing${round} FROM numbers`;
      for (const words of [Buffer.concat([parse(sql, 's'), sync()]), prepared(sql, 's')]) {
        for (const reply of await together(() => words)) {
          assert.equal(types(reply), 'EZ');
          assert.deepEqual(error(reply), ['42703', `column "missing${round}" does not exist`]);
        }
      }
      for (const reply of await together(() => run('s'))) {
        assert.deepEqual(error(reply), ['26000', 'prepared statement "s" does not exist']);
      }
    }
    await together(() => Buffer.concat([parse('SELECT n FROM numbers LIMIT 1', 's'), sync()]));
    for (const reply of await together(() => run('s')))
      assert.deepEqual(firstColumns(reply), ['0']);
  });

  it('is refused under a name that is taken (42P05), and the former one stays', async () => {
    await arriveShared('again');
    const first = Buffer.concat([parse("SELECT 'first'", 's'), sync()]);
    for (const reply of await together(() => first)) assert.equal(types(reply), '1Z');
    for (const reply of await together(() => prepared("SELECT 'second'", 's'))) {
      assert.deepEqual(error(reply), ['42P05', 'prepared statement "s" already exists']);
    }
    for (const reply of await together(() => run('s'))) {
      assert.deepEqual(firstColumns(reply), ['first']);
    }
  });

  it('is described anew to who prepares it after its table has changed', async () => {
    await arriveShared('changing');
    const sql = 'SELECT * FROM numbers WHERE n = 7';
    await together(() => prepared(sql, 'before'));
    await together(() => run('before'));
    await cluster.sql('changing', 'ALTER TABLE numbers ADD COLUMN word text');
    for (const reply of await together(() => prepared(sql, 'after'))) {
      assert.equal(types(reply), '1tTZ');
      assert.ok(reply[2]?.body.includes('word\0'));
    }
    for (const name of ['before', 'after']) {
      for (const reply of await together(() => run(name))) {
        assert.deepEqual(firstColumns(reply), ['7']);
      }
    }
  });
});
