/**
 * knex: schema builder, migrations with their lock, queries, transactions, streams.
 */
import assert from 'node:assert/strict';
import knex from 'knex';
import type { Knex } from 'knex';
import { npmVersions } from '../suite.ts';
import type { Cases, Place, Suite } from '../suite.ts';
import { upTo } from './support.ts';

async function withKnex(place: Place, work: (db: Knex) => Promise<void>): Promise<void> {
  const db = knex({ client: 'pg', connection: place.url, pool: { min: 0, max: place.clientsMax } });
  try {
    await work(db);
  } finally {
    await db.destroy();
  }
}

/** Migrations in the place of a folder of files. */
class Migrations implements Knex.MigrationSource<string> {
  readonly #tables: readonly string[];

  constructor(...tables: readonly string[]) {
    this.#tables = tables;
  }

  getMigrations(): Promise<string[]> {
    return Promise.resolve([...this.#tables]);
  }

  getMigrationName(table: string): string {
    return `create_${table}`;
  }

  getMigration(table: string): Promise<Knex.Migration> {
    return Promise.resolve({
      up: (db) =>
        db.schema.createTable(table, (columns) => {
          columns.increments('id');
          columns.string('name').notNullable().unique();
          columns.jsonb('data');
          columns.timestamp('created_at').defaultTo(db.fn.now());
        }),
      down: (db) => db.schema.dropTable(table),
    });
  }
}

const migrations: Cases = {
  'migrates up, knows what it did, and rolls back': (place) =>
    withKnex(place, async (db) => {
      const migrationSource = new Migrations('kx_first', 'kx_second');
      const [, done] = (await db.migrate.latest({ migrationSource })) as [number, string[]];
      assert.deepEqual(done, ['create_kx_first', 'create_kx_second']);
      const [, again] = (await db.migrate.latest({ migrationSource })) as [number, string[]];
      assert.deepEqual(again, []);
      assert.equal(await db.schema.hasTable('kx_second'), true);
      assert.equal(await db.schema.hasColumn('kx_first', 'data'), true);
      await db.migrate.rollback({ migrationSource });
      assert.equal(await db.schema.hasTable('kx_first'), false);
    }),

  'migrates once when 4 processes start at the same time': (place) =>
    withKnex(place, async (db) => {
      const options = { migrationSource: new Migrations('kx_race'), tableName: 'kx_race_log' };
      await db.migrate.latest({ ...options, migrationSource: new Migrations() });
      const starts = upTo(4).map(() =>
        withKnex(place, async (one) => void (await one.migrate.latest(options))),
      );
      const outcomes = await Promise.allSettled(starts);
      assert.ok(outcomes.some(({ status }) => status === 'fulfilled'));
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') assert.match(String(outcome.reason), /already locked/);
      }
      assert.equal((await db('kx_race_log')).length, 1);
    }),
};

async function withTable(place: Place, table: string, work: (db: Knex) => Promise<void>) {
  await withKnex(place, async (db) => {
    await db.schema.createTable(table, (columns) => {
      columns.integer('id').primary();
      columns.text('name');
    });
    await work(db);
  });
}

const queries: Cases = {
  'inserts, updates, upserts, reads and deletes': (place) =>
    withTable(place, 'kx_rows', async (db) => {
      await db.batchInsert(
        'kx_rows',
        upTo(500).map((id) => ({ id, name: `n${id}` })),
        50,
      );
      assert.deepEqual(await db('kx_rows').where('id', '<', 2).update({ name: 'x' }, ['id']), [
        { id: 0 },
        { id: 1 },
      ]);
      await db('kx_rows').insert({ id: 1, name: 'merged' }).onConflict('id').merge();
      assert.deepEqual(await db('kx_rows').where({ id: 1 }).first('name'), { name: 'merged' });
      assert.equal(await db('kx_rows').whereIn('id', [0, 1, 2]).del(), 3);
      assert.deepEqual(await db('kx_rows').count('* as n'), [{ n: '497' }]);
    }),

  'commits, rolls back, and nests a transaction in a savepoint': (place) =>
    withTable(place, 'kx_tx', async (db) => {
      await db.transaction(async (tx) => {
        await tx('kx_tx').insert({ id: 1 });
        const inner = tx.transaction(async (deeper) => {
          await deeper('kx_tx').insert({ id: 2 });
          throw new Error('not that one');
        });
        await assert.rejects(inner, /not that one/);
      });
      const outer = db.transaction(
        async (tx) => {
          await tx('kx_tx').insert({ id: 3 });
          await tx('kx_tx').insert({ id: 1 });
        },
        { isolationLevel: 'serializable' },
      );
      await assert.rejects(outer, { code: '23505', constraint: 'kx_tx_pkey' });
      assert.deepEqual(await db('kx_tx').select('id'), [{ id: 1 }]);
    }),

  'reads errors with code, table and constraint': (place) =>
    withTable(place, 'kx_errors', async (db) => {
      await db('kx_errors').insert({ id: 1 });
      const twice = db('kx_errors').insert({ id: 1 });
      const expected = { code: '23505', table: 'kx_errors', constraint: 'kx_errors_pkey' };
      await assert.rejects(twice, expected);
      await assert.rejects(db('kx_nowhere').select(), { code: '42P01' });
      assert.deepEqual(await db('kx_errors').select('id'), [{ id: 1 }]);
    }),

  'locks a row for update while 8 others wait for it': (place) =>
    withTable(place, 'kx_counter', async (db) => {
      await db('kx_counter').insert({ id: 1, name: '0' });
      const increment = () =>
        db.transaction(async (tx) => {
          const row = (await tx('kx_counter').where({ id: 1 }).forUpdate().first()) as {
            name: string;
          };
          await tx('kx_counter')
            .where({ id: 1 })
            .update({ name: String(Number(row.name) + 1) });
        });
      await Promise.all(upTo(8).map(increment));
      assert.deepEqual(await db('kx_counter').first('name'), { name: '8' });
    }),

  'runs 50 queries at once over as many connections as it may open': (place) =>
    withKnex(place, async (db) => {
      const ask = (n: number) => db.raw<{ rows: { n: number }[] }>('SELECT ?::int AS n', [n]);
      const results = await Promise.all(upTo(50).map(ask));
      assert.deepEqual(
        results.map(({ rows }) => rows[0]?.n),
        upTo(50),
      );
    }),

  'streams 5,000 rows and stops early': (place) =>
    withKnex(place, async (db) => {
      const rows = db.raw<AsyncIterable<{ g: number }>>('SELECT g FROM generate_series(1, 5000) g');
      let seen = 0;
      for await (const { g } of rows.stream() as AsyncIterable<{ g: number }>) {
        seen = g;
        if (g === 2_500) break;
      }
      assert.equal(seen, 2_500);
      assert.deepEqual((await db.raw<{ rows: unknown[] }>('SELECT 1 AS v')).rows, [{ v: 1 }]);
    }),

  'times a query out and cancels it on the server': (place) =>
    withKnex(place, async (db) => {
      const slow = db.raw(`SELECT pg_sleep(20), 'timed out'`).timeout(100, { cancel: true });
      await assert.rejects(slow, { name: 'KnexTimeoutError' });
      const running = `SELECT 1 FROM pg_stat_activity WHERE state = 'active'
        AND query LIKE '%timed out%' AND pid <> pg_backend_pid() AND datname = current_database()`;
      assert.deepEqual(await place.sql(running), []);
    }),

  'connects again after the database restarted': (place) =>
    withKnex(place, async (db) => {
      await Promise.all(upTo(4).map(() => db.raw('SELECT 1')));
      await place.restartServer();
      await Promise.all(upTo(8).map(() => db.raw('SELECT 1').then(String, String)));
      const { rows } = await db.raw<{ rows: unknown[] }>('SELECT 2 AS v');
      assert.deepEqual(rows, [{ v: 2 }]);
    }),
};

const CANCEL_BY_PID =
  "knex passes the process id of its login to pg_cancel_backend(), and that is the proxy's own; " +
  'the query ends at its statement_timeout, or when a cancel request of the protocol comes';

export const knexSuite: Suite = {
  name: 'knex',
  id: 'knex',
  versions: npmVersions('knex'),
  cases: { ...migrations, ...queries },
  ordinary: {
    'schema creation': 'migrates up, knows what it did, and rolls back',
    'prepared queries': 'runs 50 queries at once over as many connections as it may open',
    transactions: 'commits, rolls back, and nests a transaction in a savepoint',
    errors: 'reads errors with code, table and constraint',
    'restart of the database': 'connects again after the database restarted',
  },
  expectedFailures: {
    'times a query out and cancels it on the server': {
      session: CANCEL_BY_PID,
      transaction: CANCEL_BY_PID,
    },
  },
};
