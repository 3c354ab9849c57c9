/**
 * The two JavaScript drivers that most applications use do their ordinary work through the proxy,
 * in both pool modes.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import postgres from 'postgres';
import { TestProxy } from '../support/test-proxy.ts';
import { untilRunning } from './running-statements.ts';

const PASSWORD = 'driver secret';
let cluster: PostgresCluster;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
});
after(() => cluster.stop());

for (const poolMode of ['session', 'transaction'] as const) {
  describe(`drivers in ${poolMode} mode`, () => {
    let proxy: TestProxy;
    let options: { host: string; port: number; user: string; password: string; database: string };

    before(async () => {
      const database = `drivers_${poolMode}`;
      await cluster.sql('postgres', `CREATE DATABASE ${database}`);
      proxy = await startWith(poolMode, database);
      const { host, port } = proxy;
      options = { host, port, user: 'postgres', password: PASSWORD, database: 'acme' };
    });
    after(() => proxy.stop());

    describe('node-postgres', () => nodePostgresCases(() => options));
    describe('postgres.js', () => postgresJsCases(() => options));

    it('leaves no lease and no client behind', async () => {
      await proxy.atRest();
    });
  });
}

function startWith(poolMode: PoolMode, database: string): Promise<TestProxy> {
  const pool = { poolMode, maxConnections: 8 };
  const { port } = cluster;
  const login = { username: 'postgres', password: PASSWORD };
  return TestProxy.start({ tenants: [{ id: 'acme', port, database, ...login, pool }] });
}

interface ClientOptions {
  host: string;
  port: number;
  user: string;
  password: string;
  database: string;
}

function nodePostgresCases(options: () => ClientOptions): void {
  let client: pg.Client;
  before(async () => {
    client = new pg.Client(options());
    await client.connect();
  });
  after(() => client.end());
  const one = async (text: string, values?: unknown[]): Promise<unknown> => {
    const { rows } = await client.query<{ value: unknown }>(text, values);
    return rows[0]?.value;
  };

  it('runs simple and parameterised queries', async () => {
    assert.equal(await one('SELECT 1 AS value'), 1);
    assert.equal(await one('SELECT $1::int + 1 AS value', [41]), 42);
  });

  it('goes on after an error in either protocol', async () => {
    await assert.rejects(client.query('SELECT 1/0'), { code: '22012' });
    await assert.rejects(client.query('SELECT 1/$1::int', [0]), { code: '22012' });
    assert.equal(await one('SELECT 2 AS value'), 2);
  });

  it('commits, rolls back and reports an aborted transaction', async () => {
    await client.query('CREATE TABLE np (a int)');
    await client.query('BEGIN');
    await client.query('INSERT INTO np VALUES ($1)', [1]);
    await client.query('COMMIT');
    await client.query('BEGIN');
    await client.query('INSERT INTO np VALUES (2)');
    await assert.rejects(client.query('SELECT 1/0'), { code: '22012' });
    await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
    await client.query('ROLLBACK');
    assert.equal(await one('SELECT count(*)::int AS value FROM np'), 1);
  });

  it('reads a cursor in portions of 100 and closes it early', async () => {
    const cursor = client.query(new Cursor('SELECT g FROM generate_series(1, 1000) g'));
    assert.equal((await cursor.read(100)).length, 100);
    assert.deepEqual((await cursor.read(100)).at(-1), { g: 200 });
    await cursor.close();
    assert.equal(await one('SELECT 3 AS value'), 3);
  });

  it('copies 20,000 rows in and out', async () => {
    await client.query('CREATE TABLE np_copy (a int, b text)');
    const rows = Array.from({ length: 20_000 }, (_, i) => `${i}\trow ${i}\n`);
    await pipeline(Readable.from(rows), client.query(copyFrom('COPY np_copy FROM STDIN')));
    const chunks = await client.query(copyTo('COPY np_copy TO STDOUT')).toArray();
    assert.equal(Buffer.concat(chunks as Buffer[]).toString(), rows.join(''));
  });

  it('goes on after a COPY that the server refuses while the client still sends', async () => {
    const rows = ['not a number\n', ...Array.from({ length: 20_000 }, (_, i) => `${i}\n`)];
    await client.query('CREATE TABLE np_bad (a int)');
    const copy = client.query(copyFrom('COPY np_bad FROM STDIN'));
    await assert.rejects(pipeline(Readable.from(rows), copy), { code: '22P02' });
    assert.equal(await one('SELECT 4 AS value'), 4);
  });

  it('passes rows of 20 MB and parameters of 5 MB', async () => {
    assert.equal(await one(`SELECT length($1::text) AS value`, ['y'.repeat(5_000_000)]), 5_000_000);
    assert.equal(String(await one(`SELECT repeat('x', 20000000) AS value`)).length, 20_000_000);
  });

  it('passes notices on', async () => {
    const notice = new Promise((resolve) => {
      client.once('notice', (message) => resolve(message.message));
    });
    await client.query(`DO $$ BEGIN RAISE NOTICE 'hello'; END $$`);
    assert.equal(await notice, 'hello');
  });

  it('runs a named statement three times', async () => {
    for (const value of [1, 2, 3]) {
      const result = await client.query({
        name: 'n',
        text: 'SELECT $1::int AS v',
        values: [value],
      });
      assert.deepEqual(result.rows, [{ v: value }]);
    }
  });
}

function postgresJsCases(options: () => ClientOptions): void {
  let sql: postgres.Sql;
  before(() => {
    sql = postgres({ ...options(), max: 4, onnotice: () => {} });
  });
  after(() => sql.end({ timeout: 5 }));

  it('runs 50 queries at once over 4 connections', async () => {
    const numbers = Array.from({ length: 50 }, (_, i) => i);
    const results = await Promise.all(numbers.map((n) => sql`SELECT ${n}::int AS n`));
    assert.deepEqual(
      results.map(([row]) => row?.['n'] as number),
      numbers,
    );
  });

  it('commits a transaction and rolls back one that throws', async () => {
    await sql`CREATE TABLE pj (a int)`;
    await sql.begin(async (tx) => tx`INSERT INTO pj VALUES (${1})`);
    const failing = sql.begin(async (tx) => {
      await tx`INSERT INTO pj VALUES (${2})`;
      throw new Error('changed my mind');
    });
    await assert.rejects(failing, /changed my mind/);
    assert.deepEqual([...(await sql`SELECT a FROM pj`)], [{ a: 1 }]);
  });

  it('reads a cursor and several results of one simple query', async () => {
    let rows = 0;
    for await (const portion of sql`SELECT * FROM generate_series(1, 500)`.cursor(50)) {
      rows += portion.length;
    }
    assert.equal(rows, 500);
    const results = await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b');
    assert.deepEqual(JSON.parse(JSON.stringify(results)), [[{ a: 1 }], [{ b: 2 }]]);
  });

  it('copies in, and reads errors by their SQLSTATE', async () => {
    await sql`CREATE TABLE pj_copy (a int)`;
    await pipeline(Readable.from(['1\n', '2\n']), await sql`COPY pj_copy FROM STDIN`.writable());
    assert.deepEqual([...(await sql`SELECT sum(a)::int AS sum FROM pj_copy`)], [{ sum: 3 }]);
    await assert.rejects(sql`SELECT * FROM nowhere`, { code: '42P01' });
  });

  it('cancels a query that sleeps for 30 s', async () => {
    const sleeping = sql`SELECT pg_sleep(30)`;
    const outcome = assert.rejects(sleeping, { code: '57014' });
    await untilRunning(cluster, 'pg_sleep(30)');
    sleeping.cancel();
    await outcome;
  });
}
