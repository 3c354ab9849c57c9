/**
 * pg-promise: tasks, nested transactions, prepared statements and its query formatting.
 */
import assert from 'node:assert/strict';
import pgPromise from 'pg-promise';
import { npmVersions } from '../suite.ts';
import type { Cases, Place, Suite } from '../suite.ts';
import { upTo } from './support.ts';

const library = pgPromise({ noWarnings: true });
const { helpers } = library;
type Database = pgPromise.IDatabase<object>;

async function withDatabase(place: Place, work: (db: Database) => Promise<void>): Promise<void> {
  const db = library({ connectionString: place.url, max: place.clientsMax });
  try {
    await work(db);
  } finally {
    await db.$pool.end();
  }
}

const cases: Cases = {
  'creates a table, inserts 1,000 rows at once and counts them': (place) =>
    withDatabase(place, async (db) => {
      await db.none('CREATE TABLE pp_many (id int PRIMARY KEY, name text)');
      const columns = new helpers.ColumnSet(['id', 'name'], { table: 'pp_many' });
      await db.none(
        helpers.insert(
          upTo(1_000).map((id) => ({ id, name: `it's ${id}` })),
          columns,
        ),
      );
      const count = await db.one<{ n: number }>('SELECT count(*)::int AS n FROM pp_many');
      assert.equal(count.n, 1_000);
    }),

  'formats values into the text and sends others beside it': (place) =>
    withDatabase(place, async (db) => {
      const text = `it's "quoted" \\ $1 -- no comment`;
      const own = await db.one<{ v: string }>('SELECT ${v} AS v', { v: text });
      assert.equal(own.v, text);
      const query = new pgPromise.ParameterizedQuery({
        text: 'SELECT $1::text AS v',
        values: [text],
      });
      assert.equal((await db.one<{ v: string }>(query)).v, text);
    }),

  'runs a prepared statement 50 times over as many connections as it may open': (place) =>
    withDatabase(place, async (db) => {
      const run = (n: number) => {
        const text = 'SELECT $1::int + 1 AS v';
        return db.one<{ v: number }>(
          new pgPromise.PreparedStatement({ name: 'next', text, values: [n] }),
        );
      };
      const rows = await Promise.all(upTo(50).map(run));
      assert.deepEqual(
        rows.map(({ v }) => v),
        upTo(50).map((n) => n + 1),
      );
    }),

  'rolls back an inner transaction and commits the outer one': (place) =>
    withDatabase(place, async (db) => {
      await db.none('CREATE TABLE pp_nested (a int)');
      await db.tx(async (outer) => {
        await outer.none('INSERT INTO pp_nested VALUES (1)');
        const inner = outer.tx(async (tx) => {
          await tx.none('INSERT INTO pp_nested VALUES (2)');
          throw new Error('not that one');
        });
        await assert.rejects(inner, /not that one/);
        await outer.none('INSERT INTO pp_nested VALUES (3)');
      });
      const rows = await db.many<{ a: number }>('SELECT a FROM pp_nested ORDER BY a');
      assert.deepEqual(
        rows.map(({ a }) => a),
        [1, 3],
      );
    }),

  'runs a transaction that is serializable, read only and deferrable': (place) =>
    withDatabase(place, async (db) => {
      const { TransactionMode, isolationLevel } = library.txMode;
      const mode = new TransactionMode({
        tiLevel: isolationLevel.serializable,
        readOnly: true,
        deferrable: true,
      });
      await db
        .tx({ mode }, async (tx) => {
          const { level } = await tx.one<{ level: string }>(
            `SELECT current_setting('transaction_isolation') AS level`,
          );
          assert.equal(level, 'serializable');
          await assert.rejects(tx.none('CREATE TABLE pp_never ()'), { code: '25006' });
        })
        .catch((error: { code?: string }) => assert.equal(error.code, '25P02'));
      assert.deepEqual(await db.one('SELECT 1 AS v'), { v: 1 });
    }),

  'reads several results of one text': (place) =>
    withDatabase(place, async (db) => {
      const results = await db.multi('SELECT 1 AS a; SELECT 2 AS b UNION ALL SELECT 3');
      assert.deepEqual(results, [[{ a: 1 }], [{ b: 2 }, { b: 3 }]]);
    }),

  'runs a batch of queries on one connection of a task': (place) =>
    withDatabase(place, (db) =>
      db.task(async (task) => {
        const pids = await task.batch(
          upTo(5).map(() => task.one<{ v: number }>('SELECT pg_sleep(0), 1 AS v')),
        );
        assert.equal(pids.length, 5);
      }),
    ),

  'tells errors of the server from its own': (place) =>
    withDatabase(place, async (db) => {
      await assert.rejects(db.any('SELECT * FROM nowhere'), { code: '42P01' });
      const several = db.one('SELECT generate_series(1, 2)');
      await assert.rejects(several, { code: library.errors.queryResultErrorCode.multiple });
    }),

  'connects again after the database restarted': (place) =>
    withDatabase(place, async (db) => {
      await Promise.all(upTo(4).map(() => db.one('SELECT 1')));
      await place.restartServer();
      await Promise.all(upTo(8).map(() => db.one('SELECT 1').catch(() => undefined)));
      assert.deepEqual(await db.one('SELECT 2 AS v'), { v: 2 });
    }),
};

export const pgPromiseSuite: Suite = {
  name: 'pg-promise',
  id: 'pg_promise',
  versions: npmVersions('pg-promise'),
  cases,
  ordinary: {
    'schema creation': 'creates a table, inserts 1,000 rows at once and counts them',
    'prepared queries':
      'runs a prepared statement 50 times over as many connections as it may open',
    transactions: 'rolls back an inner transaction and commits the outer one',
    errors: 'tells errors of the server from its own',
    'restart of the database': 'connects again after the database restarted',
  },
};
