/**
 * node-postgres: pg with its pool, pg-cursor, pg-query-stream and pg-copy-streams.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as immediate } from 'node:timers/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { npmVersions } from '../suite.ts';
import type { Cases, Place, Suite } from '../suite.ts';
import { SHOP, upTo } from './support.ts';

async function withClient(
  place: pg.ClientConfig,
  work: (client: pg.Client) => Promise<void>,
): Promise<void> {
  const client = new pg.Client(place);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

async function withPool(place: Place, max: number, work: (pool: pg.Pool) => Promise<void>) {
  const pool = new pg.Pool({ ...place, max });
  pool.on('error', () => {});
  try {
    await work(pool);
  } finally {
    await pool.end();
  }
}

async function valueOf(client: pg.ClientBase | pg.Pool, text: string, values?: unknown[]) {
  const { rows } = await client.query<{ value: unknown }>(text, values);
  return rows[0]?.value;
}

const queries: Cases = {
  'creates a schema with its tables, types, indexes, views and functions': async (place) => {
    await withClient(place, async (client) => void (await client.query(SHOP)));
    await withClient(place, async (client) => {
      await client.query('SET search_path = shop');
      await client.query(`INSERT INTO orders VALUES ($1, 'open'), ($2, 'open')`, [1, 2]);
      await client.query('SELECT finish($1)', [2]);
      assert.equal(await valueOf(client, 'SELECT id AS value FROM done'), 2);
    });
  },

  'gives and takes values of every common type': (place) =>
    withClient(place, async (client) => {
      const sql = `SELECT $1::int4 AS i4, $2::int8 AS i8, $3::float8 AS f8, $4::numeric AS n,
        $5::bool AS b, $6::text AS t, $7::bytea AS bytes, $8::jsonb AS j, $9::timestamptz AS at,
        $10::uuid AS id,
        $11::int4[] AS list, $12::text AS nothing`;
      const at = new Date('2024-02-29T12:34:56.789Z');
      const id = '0193b2a4-6a2e-7cc1-9c3f-5f1d2a3b4c5d';
      const bytes = Buffer.from([0, 1, 254, 255]);
      const values = [1, '9007199254740993', 0.1, '1.10', true, 'naïve 🐘', bytes];
      const { rows } = await client.query(sql, [...values, { a: [1] }, at, id, [1, 2], null]);
      assert.deepEqual(rows, [
        {
          i4: 1,
          i8: '9007199254740993',
          f8: 0.1,
          n: '1.10',
          b: true,
          t: 'naïve 🐘',
          bytes,
          j: { a: [1] },
          at,
          id,
          list: [1, 2],
          nothing: null,
        },
      ]);
    }),

  'goes on after an error in the simple and the extended protocol': (place) =>
    withClient(place, async (client) => {
      await assert.rejects(client.query('SELECT 1/0'), { code: '22012' });
      await assert.rejects(client.query('SELECT 1/$1::int', [0]), { code: '22012' });
      assert.equal(await valueOf(client, 'SELECT 2 AS value'), 2);
    }),

  'commits, rolls back and goes back to a savepoint': (place) =>
    withClient(place, async (client) => {
      await client.query('CREATE TABLE np (a int)');
      await client.query('BEGIN');
      await client.query('INSERT INTO np VALUES ($1)', [1]);
      await client.query('SAVEPOINT here');
      await assert.rejects(client.query('SELECT 1/0'), { code: '22012' });
      await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
      await client.query('ROLLBACK TO SAVEPOINT here');
      await client.query('COMMIT');
      await client.query('BEGIN');
      await client.query('INSERT INTO np VALUES (2)');
      await client.query('ROLLBACK');
      assert.equal(await valueOf(client, 'SELECT sum(a)::int AS value FROM np'), 1);
    }),

  'reads constraint errors with code, table and constraint': (place) =>
    withClient(place, async (client) => {
      await client.query('CREATE TABLE np_unique (a int PRIMARY KEY, b int CHECK (b > 0))');
      await client.query('INSERT INTO np_unique VALUES (1, 1)');
      const twice = client.query('INSERT INTO np_unique VALUES ($1, $2)', [1, 1]);
      await assert.rejects(twice, {
        code: '23505',
        table: 'np_unique',
        constraint: 'np_unique_pkey',
        detail: 'Key (a)=(1) already exists.',
      });
      const bad = client.query('INSERT INTO np_unique VALUES ($1, $2)', [2, 0]);
      await assert.rejects(bad, { code: '23514', constraint: 'np_unique_b_check' });
    }),

  'passes rows of 20 MB and parameters of 5 MB': (place) =>
    withClient(place, async (client) => {
      const long = 'y'.repeat(5_000_000);
      assert.equal(await valueOf(client, 'SELECT length($1::text) AS value', [long]), 5_000_000);
      const text = await valueOf(client, `SELECT repeat('x', 20000000) AS value`);
      assert.equal(String(text).length, 20_000_000);
    }),

  'reads notices': (place) =>
    withClient(place, async (client) => {
      const notice = once(client, 'notice');
      await client.query(`DO $$ BEGIN RAISE NOTICE 'hello'; END $$`);
      const [{ message }] = (await notice) as [{ message: string }];
      assert.equal(message, 'hello');
    }),
};

const statements: Cases = {
  'runs a named statement 200 times over as many connections as it may open': (place) =>
    withPool(place, place.clientsMax, async (pool) => {
      const named = { name: 'twice', text: 'SELECT $1::int * 2 AS value' };
      const results = await Promise.all(
        upTo(200).map((n) => pool.query<{ value: number }>({ ...named, values: [n] })),
      );
      const values = results.map(({ rows }) => rows[0]?.value);
      assert.deepEqual(
        values,
        upTo(200).map((n) => n * 2),
      );
    }),

  'runs a named statement again after the table it reads has changed': (place) =>
    withClient(place, async (client) => {
      await client.query('CREATE TABLE np_changed (a int)');
      await client.query('INSERT INTO np_changed VALUES (1)');
      const named = { name: 'first', text: 'SELECT a FROM np_changed WHERE a = $1', values: ['1'] };
      assert.deepEqual((await client.query(named)).rows, [{ a: 1 }]);
      await client.query('ALTER TABLE np_changed ALTER a TYPE text, ADD b int');
      await withClient(place, async (other) => {
        assert.deepEqual((await other.query(named)).rows, [{ a: '1' }]);
      });
    }),

  'reads a cursor in portions of 100 and closes it early': (place) =>
    withClient(place, async (client) => {
      const cursor = client.query(new Cursor('SELECT g FROM generate_series(1, 1000) g'));
      assert.equal((await cursor.read(100)).length, 100);
      assert.deepEqual((await cursor.read(100)).at(-1), { g: 200 });
      await cursor.close();
      assert.equal(await valueOf(client, 'SELECT 3 AS value'), 3);
    }),

  'streams 10,000 rows': (place) =>
    withClient(place, async (client) => {
      const sql = 'SELECT g FROM generate_series(1, $1) g';
      const rows = client.query(new QueryStream(sql, [10_000], { batchSize: 100 }));
      let sum = 0;
      for await (const { g } of rows as AsyncIterable<{ g: number }>) sum += g;
      assert.equal(sum, 50_005_000);
    }),

  'copies 20,000 rows in and out': (place) =>
    withClient(place, async (client) => {
      await client.query('CREATE TABLE np_copy (a int, b text)');
      const rows = upTo(20_000).map((i) => `${i}\trow ${i}\n`);
      await pipeline(Readable.from(rows), client.query(copyFrom('COPY np_copy FROM STDIN')));
      const chunks = await client.query(copyTo('COPY np_copy TO STDOUT')).toArray();
      assert.equal(Buffer.concat(chunks as Buffer[]).toString(), rows.join(''));
    }),

  'goes on after a COPY that the server refuses while the client still sends': (place) =>
    withClient(place, async (client) => {
      const rows = ['not a number\n', ...upTo(20_000).map((i) => `${i}\n`)];
      await client.query('CREATE TABLE np_bad (a int)');
      const copy = client.query(copyFrom('COPY np_bad FROM STDIN'));
      await assert.rejects(pipeline(Readable.from(rows), copy), { code: '22P02' });
      assert.equal(await valueOf(client, 'SELECT 4 AS value'), 4);
    }),
};

const sessions: Cases = {
  'keeps what SET says between statements, beside 8 busy clients': (place) =>
    withPool(place, 3, async (pool) => {
      await pool.query('CREATE SCHEMA own');
      await withClient(place, async (client) => {
        await client.query(`SET search_path = own, public; SET statement_timeout = '29s'`);
        for (let round = 0; round < 10; round += 1) {
          await Promise.all(upTo(3).map(() => pool.query('SELECT pg_sleep(0.001)')));
          assert.equal(await valueOf(client, `SELECT current_schema() AS value`), 'own');
        }
      });
      assert.equal(await valueOf(pool, `SELECT current_schema() AS value`), 'public');
    }),

  'starts with parameters in `options`': (place) =>
    withClient({ ...place, options: '-c TimeZone=Asia/Kolkata' }, async (client) => {
      const value = await valueOf(client, `SELECT current_setting('TimeZone') AS value`);
      assert.equal(value, 'Asia/Kolkata');
    }),

  'sees its own application_name': (place) =>
    withClient({ ...place, application_name: 'billing' }, async (client) => {
      const { rows } = await client.query('SHOW application_name');
      assert.deepEqual(rows, [{ application_name: 'billing' }]);
    }),

  'holds a session advisory lock against another client': (place) =>
    withClient(place, (first) =>
      withClient(place, async (second) => {
        const tryLock = 'SELECT pg_try_advisory_lock(42) AS value';
        assert.equal(await valueOf(first, tryLock), true);
        assert.equal(await valueOf(second, tryLock), false);
        assert.equal(await valueOf(first, 'SELECT pg_advisory_unlock(42) AS value'), true);
        assert.equal(await valueOf(second, tryLock), true);
      }),
    ),

  'hears what another client notifies': (place) =>
    withClient(place, (listener) =>
      withClient(place, async (client) => {
        await listener.query('LISTEN news');
        const heard = once(listener, 'notification');
        await client.query(`SELECT pg_notify('news', 'it rains')`);
        const [{ channel, payload }] = (await heard) as [pg.Notification];
        assert.deepEqual({ channel, payload }, { channel: 'news', payload: 'it rains' });
      }),
    ),

  'leaves before it has logged in': async (place) => {
    const client = new pg.Client(place);
    const refused = client.connect();
    await client.end();
    // Its promise stays open where nobody answers; an answer would be an error nobody expects.
    await Promise.race([refused, immediate()]);
  },
};

const outages: Cases = {
  'hears that the server ended its idle connection': (place) =>
    withPool(place, 1, async (pool) => {
      const pid = await valueOf(pool, 'SELECT pg_backend_pid() AS value');
      const failed = once(pool, 'error', { signal: AbortSignal.timeout(1_000) });
      await place.sql(`SELECT pg_terminate_backend(${String(pid)})`);
      const [error] = (await failed) as [Error & { code: string }];
      assert.equal(error.code, '57P01');
    }),

  'reads an error when the server ends its statement, and the pool goes on': (place) =>
    withPool(place, 1, async (pool) => {
      const killed = pool.query('SELECT pg_terminate_backend(pg_backend_pid())');
      await assert.rejects(killed, { code: '57P01' });
      assert.equal(await valueOf(pool, 'SELECT 5 AS value'), 5);
    }),

  'connects again after the database restarted': (place) =>
    withPool(place, 4, async (pool) => {
      await Promise.all(upTo(4).map(() => pool.query('SELECT 1')));
      await place.restartServer();
      const attempts = upTo(8).map(() => pool.query('SELECT 1').then(() => 'answered', String));
      await Promise.all(attempts);
      assert.equal(await valueOf(pool, 'SELECT 6 AS value'), 6);
    }),
};

const SERVER_NAME =
  'a server connection is called after its proxy, so that its slots can be counted; ' +
  "the client's own name is reported to it as application_name when it logs in";

export const nodePostgres: Suite = {
  name: 'node-postgres',
  id: 'node_postgres',
  versions: npmVersions('pg', 'pg-cursor', 'pg-query-stream', 'pg-copy-streams'),
  cases: { ...queries, ...statements, ...sessions, ...outages },
  ordinary: {
    'schema creation': 'creates a schema with its tables, types, indexes, views and functions',
    'prepared queries': 'runs a named statement 200 times over as many connections as it may open',
    transactions: 'commits, rolls back and goes back to a savepoint',
    errors: 'reads constraint errors with code, table and constraint',
    'restart of the database': 'connects again after the database restarted',
  },
  expectedFailures: {
    'sees its own application_name': { session: SERVER_NAME, transaction: SERVER_NAME },
    'hears that the server ended its idle connection': {
      transaction: 'a client between transactions has no server connection that could be ended',
    },
  },
};
