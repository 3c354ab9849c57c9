/**
 * postgres.js, which pipelines, prepares everything and listens on a connection of its own.
 */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import postgres from 'postgres';
import { eventually } from '../../support/eventually.ts';
import { npmVersions } from '../suite.ts';
import type { Cases, Place, Suite } from '../suite.ts';
import { NEW_SHAPE, SHOP, upTo } from './support.ts';

type Sql = postgres.Sql;

async function withSql(place: Place, max: number, work: (sql: Sql) => Promise<void>) {
  const sql = postgres(place.url, { max, onnotice: () => {} });
  try {
    await work(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const queries: Cases = {
  'creates a schema with its tables, types, indexes, views and functions': (place) =>
    withSql(place, 2, async (sql) => {
      await sql.unsafe(SHOP);
      await sql`INSERT INTO shop.orders ${sql(upTo(3).map((id) => ({ id, state: 'open' })))}`;
      await sql`SELECT shop.finish(${2})`;
      assert.deepEqual([...(await sql`SELECT id FROM shop.done`)], [{ id: 2 }]);
    }),

  'runs 200 queries at once over as many connections as it may open': (place) =>
    withSql(place, place.clientsMax, async (sql) => {
      const results = await Promise.all(upTo(200).map((n) => sql`SELECT ${n}::int AS n`));
      assert.deepEqual(
        results.map(([row]) => row?.['n'] as number),
        upTo(200),
      );
    }),

  'gives and takes values of every common type': (place) =>
    withSql(place, 1, async (sql) => {
      const at = new Date('2024-02-29T12:34:56.789Z');
      const bytes = Buffer.from([0, 1, 254, 255]);
      const json = sql.json({ a: [1] });
      const [row] = await sql`SELECT ${7}::int4 AS i, ${'9007199254740993'}::int8 AS big,
        ${0.1}::float8 AS f, ${true}::bool AS b, ${'naïve 🐘'}::text AS t, ${bytes}::bytea AS bytes,
        ${json}::jsonb AS j, ${at}::timestamptz AS at, ${[1, 2]}::int4[] AS list,
        ${null}::text AS n`;
      assert.deepEqual(
        { ...row },
        {
          i: 7,
          big: '9007199254740993',
          f: 0.1,
          b: true,
          t: 'naïve 🐘',
          bytes,
          j: { a: [1] },
          at,
          list: [1, 2],
          n: null,
        },
      );
    }),

  'pipelines a transaction, with an error in its middle': (place) =>
    withSql(place, 2, async (sql) => {
      await sql`CREATE TABLE pj_pipeline (a int PRIMARY KEY)`;
      const work = sql.begin((tx) => [
        tx`INSERT INTO pj_pipeline VALUES (1)`,
        tx`INSERT INTO pj_pipeline VALUES (1)`,
        tx`INSERT INTO pj_pipeline VALUES (2)`,
      ]);
      await assert.rejects(work, { code: '23505', constraint_name: 'pj_pipeline_pkey' });
      assert.equal((await sql`SELECT FROM pj_pipeline`).length, 0);
    }),

  'commits a transaction, and rolls back one that throws and a savepoint': (place) =>
    withSql(place, 2, async (sql) => {
      await sql`CREATE TABLE pj (a int)`;
      await sql.begin(async (tx) => {
        await tx`INSERT INTO pj VALUES (${1})`;
        await tx.savepoint(async (sp) => sp`INSERT INTO pj VALUES (1/0)`).catch(() => {});
      });
      const failing = sql.begin(async (tx) => {
        await tx`INSERT INTO pj VALUES (${2})`;
        throw new Error('changed my mind');
      });
      await assert.rejects(failing, /changed my mind/);
      assert.deepEqual([...(await sql`SELECT a FROM pj`)], [{ a: 1 }]);
    }),

  'reads several results of one simple query': (place) =>
    withSql(place, 1, async (sql) => {
      const results = await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b');
      assert.deepEqual(JSON.parse(JSON.stringify(results)), [[{ a: 1 }], [{ b: 2 }]]);
    }),

  'reads a cursor in portions of 50 and leaves one early': (place) =>
    withSql(place, 1, async (sql) => {
      let rows = 0;
      for await (const portion of sql`SELECT * FROM generate_series(1, 500)`.cursor(50)) {
        rows += portion.length;
      }
      assert.equal(rows, 500);
      for await (const _ of sql`SELECT * FROM generate_series(1, 500)`.cursor(50)) break;
      assert.deepEqual([...(await sql`SELECT 1 AS a`)], [{ a: 1 }]);
    }),

  'copies in and out': (place) =>
    withSql(place, 1, async (sql) => {
      await sql`CREATE TABLE pj_copy (a int)`;
      await pipeline(Readable.from(['1\n', '2\n']), await sql`COPY pj_copy FROM STDIN`.writable());
      const chunks = await (await sql`COPY pj_copy TO STDOUT`.readable()).toArray();
      assert.equal(Buffer.concat(chunks as Buffer[]).toString(), '1\n2\n');
    }),

  'inserts and updates through its helpers': (place) =>
    withSql(place, 2, async (sql) => {
      await sql`CREATE TABLE pj_helpers (id int PRIMARY KEY, name text, tags text[])`;
      const rows = upTo(50).map((id) => ({ id, name: `n${id}`, tags: ['a', String(id)] }));
      await sql`INSERT INTO pj_helpers ${sql(rows)}`;
      await sql`UPDATE pj_helpers SET ${sql({ name: 'new' })} WHERE id IN ${sql([1, 2])}`;
      const found =
        await sql`SELECT name, tags FROM pj_helpers WHERE id IN ${sql([2, 3])} ORDER BY id`;
      assert.deepEqual(
        [...found],
        [
          { name: 'new', tags: ['a', '2'] },
          { name: 'n3', tags: ['a', '3'] },
        ],
      );
    }),
};

const sessions: Cases = {
  'reads errors by their SQLSTATE': (place) =>
    withSql(place, 1, async (sql) => {
      await assert.rejects(sql`SELECT * FROM nowhere`, { code: '42P01', position: '15' });
      await assert.rejects(sql`SELECT ${'x'}::int`, { code: '22P02' });
    }),

  'parses a statement again after the column it writes has changed its type': (place) =>
    withSql(place, 1, async (sql) => {
      const insert = () => sql`INSERT INTO pj_changed (name) VALUES (${'1'}) RETURNING name`;
      await sql`CREATE TABLE pj_changed (name text)`;
      await insert();
      await sql`ALTER TABLE pj_changed ALTER COLUMN name TYPE int USING name::integer`;
      assert.deepEqual([...(await insert())], [{ name: 1 }]);
    }),

  'parses a statement again after the column it reads has changed its type': (place) =>
    withSql(place, 1, async (sql) => {
      const select = () => sql`SELECT name FROM pj_read`;
      await sql`CREATE TABLE pj_read (name text)`;
      await sql`INSERT INTO pj_read VALUES ('1')`;
      await select();
      await sql`ALTER TABLE pj_read ALTER COLUMN name TYPE int USING name::integer`;
      assert.deepEqual([...(await select())], [{ name: 1 }]);
    }),

  'cancels a query that sleeps for 30 s': (place) =>
    withSql(place, 1, async (sql) => {
      const sleeping = sql`SELECT pg_sleep(30), 'to be cancelled'`;
      const outcome = assert.rejects(sleeping, { code: '57014' });
      await place.untilRunning('to be cancelled');
      sleeping.cancel();
      await outcome;
    }),

  'listens, and listens again after its connection was lost': (place) =>
    withSql(place, 2, async (sql) => {
      const heard: string[] = [];
      let listening = 0;
      const onListen = () => (listening += 1);
      const listener = await sql.listen('news', (payload) => heard.push(payload), onListen);
      await sql.notify('news', 'one');
      await eventually('the first notification', () => heard.includes('one'));
      await place.endConnections();
      await eventually('listening again', () => listening === 2);
      await sql.notify('news', 'two').catch(() => sql.notify('news', 'two'));
      await eventually('the second notification', () => heard.includes('two'));
      await listener.unlisten();
    }),

  'reserves a connection for itself': (place) =>
    withSql(place, 3, async (sql) => {
      const reserved = await sql.reserve();
      await reserved`CREATE TEMPORARY TABLE mine (a int)`;
      await Promise.all(upTo(10).map(() => sql`SELECT 1`));
      await reserved`INSERT INTO mine VALUES (1)`;
      assert.deepEqual([...(await reserved`SELECT a FROM mine`)], [{ a: 1 }]);
      reserved.release();
    }),

  'connects again after the database restarted': (place) =>
    withSql(place, 4, async (sql) => {
      await Promise.all(upTo(4).map(() => sql`SELECT 1`));
      await place.restartServer();
      await Promise.all(upTo(8).map((n) => sql`SELECT ${n}::int`.catch(() => undefined)));
      const rows = await sql`SELECT 6 AS value`;
      assert.deepEqual([...rows], [{ value: 6 }]);
    }),

  'ends while queries are under way': async (place) => {
    const sql = postgres(place.url, { max: 2 });
    const late = sql`SELECT pg_sleep(0.05)`.execute();
    await sql.end();
    assert.equal((await late).length, 1);
  },
};

export const postgresJs: Suite = {
  name: 'postgres.js',
  id: 'postgres_js',
  versions: npmVersions('postgres'),
  cases: { ...queries, ...sessions },
  ordinary: {
    'schema creation': 'creates a schema with its tables, types, indexes, views and functions',
    'prepared queries': 'runs 200 queries at once over as many connections as it may open',
    transactions: 'commits a transaction, and rolls back one that throws and a savepoint',
    errors: 'reads errors by their SQLSTATE',
    'restart of the database': 'connects again after the database restarted',
  },
  expectedFailures: {
    'parses a statement again after the column it writes has changed its type': {
      transaction: NEW_SHAPE,
    },
    'parses a statement again after the column it reads has changed its type': {
      transaction: NEW_SHAPE,
    },
  },
};
