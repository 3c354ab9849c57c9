/**
 * drizzle over node-postgres and over postgres.js: migrations, relational and prepared queries.
 */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DrizzleQueryError, eq, relations, sql } from 'drizzle-orm';
import { drizzle as overPg } from 'drizzle-orm/node-postgres';
import { migrate as migratePg } from 'drizzle-orm/node-postgres/migrator';
import { integer, jsonb, pgTable, serial, text, timestamp } from 'drizzle-orm/pg-core';
import { drizzle as overPostgresJs } from 'drizzle-orm/postgres-js';
import { migrate as migratePostgresJs } from 'drizzle-orm/postgres-js/migrator';
import pg from 'pg';
import postgres from 'postgres';
import { npmVersions } from '../suite.ts';
import type { Cases, Place, Suite } from '../suite.ts';
import { upTo } from './support.ts';

const authors = pgTable('dz_authors', {
  id: serial('id').primaryKey(),
  email: text('email').notNull().unique(),
  profile: jsonb('profile').$type<{ likes: string[] }>(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
});
const books = pgTable('dz_books', {
  id: serial('id').primaryKey(),
  authorId: integer('author_id')
    .notNull()
    .references(() => authors.id),
  title: text('title').notNull(),
});
const authorRelations = relations(authors, ({ many }) => ({ books: many(books) }));
const bookRelations = relations(books, ({ one }) => ({
  author: one(authors, { fields: [books.authorId], references: [authors.id] }),
}));
const schema = { authors, books, authorRelations, bookRelations };

/** As drizzle-kit writes it for the tables above. */
const MIGRATION = `CREATE TABLE "dz_authors" (
	"id" serial PRIMARY KEY NOT NULL,
	"email" text NOT NULL,
	"profile" jsonb,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "dz_authors_email_unique" UNIQUE("email")
);
--> statement-breakpoint
CREATE TABLE "dz_books" (
	"id" serial PRIMARY KEY NOT NULL,
	"author_id" integer NOT NULL,
	"title" text NOT NULL
);
--> statement-breakpoint
ALTER TABLE "dz_books" ADD CONSTRAINT "dz_books_author_id_dz_authors_id_fk" FOREIGN KEY
  ("author_id") REFERENCES "public"."dz_authors"("id") ON DELETE no action ON UPDATE no action;`;

async function withMigrations(work: (migrationsFolder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'dbbouncer-drizzle-'));
  try {
    const entry = {
      idx: 0,
      version: '7',
      when: 1_700_000_000_000,
      tag: '0000_first',
      breakpoints: true,
    };
    await mkdir(join(folder, 'meta'));
    await writeFile(
      join(folder, 'meta', '_journal.json'),
      JSON.stringify({ version: '7', dialect: 'postgresql', entries: [entry] }),
    );
    await writeFile(join(folder, '0000_first.sql'), MIGRATION);
    await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function withPg(place: Place, work: (db: ReturnType<typeof openPg>['db']) => Promise<void>) {
  const { db, pool } = openPg(place);
  try {
    await withMigrations((migrationsFolder) => migratePg(db, { migrationsFolder }));
    await work(db);
  } finally {
    await pool.end();
  }
}

function openPg(place: Place) {
  const pool = new pg.Pool({ connectionString: place.url, max: place.clientsMax });
  pool.on('error', () => {});
  return { pool, db: overPg(pool, { schema }) };
}

const cases: Cases = {
  'migrates once, however often it is started': (place) =>
    withPg(place, (db) =>
      withMigrations(async (migrationsFolder) => {
        await migratePg(db, { migrationsFolder });
        const log = await db.execute('SELECT 1 FROM drizzle.__drizzle_migrations');
        assert.equal(log.rows.length, 1);
      }),
    ),

  'inserts, updates, upserts, reads and deletes': (place) =>
    withPg(place, async (db) => {
      const [made] = await db
        .insert(authors)
        .values({ email: 'a@x', profile: { likes: ['tea'] } })
        .returning();
      assert.ok(made?.createdAt instanceof Date);
      await db
        .insert(authors)
        .values({ email: 'a@x' })
        .onConflictDoUpdate({ target: authors.email, set: { profile: { likes: [] } } });
      const found = await db.select().from(authors).where(eq(authors.email, 'a@x'));
      assert.deepEqual(
        found.map(({ profile }) => profile),
        [{ likes: [] }],
      );
      assert.equal((await db.delete(authors).where(eq(authors.email, 'a@x'))).rowCount, 1);
    }),

  'reads relations in one query': (place) =>
    withPg(place, async (db) => {
      const [author] = await db.insert(authors).values({ email: 'r@x' }).returning();
      const authorId = author?.id ?? 0;
      await db.insert(books).values(upTo(3).map((n) => ({ authorId, title: `t${n}` })));
      const found = await db.query.authors.findFirst({
        where: eq(authors.email, 'r@x'),
        with: { books: { columns: { title: true } } },
      });
      assert.deepEqual(found?.books, [{ title: 't0' }, { title: 't1' }, { title: 't2' }]);
    }),

  'runs a prepared query 50 times over as many connections as it may open': (place) =>
    withPg(place, async (db) => {
      const query = db
        .select({ n: sql<number>`${sql.placeholder('n')}::int * 2` })
        .from(sql`(SELECT 1) AS one`)
        .prepare('dz_double');
      const rows = await Promise.all(upTo(50).map((n) => query.execute({ n })));
      assert.deepEqual(
        rows.map(([row]) => row?.n),
        upTo(50).map((n) => n * 2),
      );
    }),

  'rolls back a transaction and a savepoint inside of one': (place) =>
    withPg(place, async (db) => {
      const email = (n: number) => ({ email: `tx${n}@x` });
      await db.transaction(async (tx) => {
        await tx.insert(authors).values(email(1));
        const inner = tx.transaction(async (deeper) => {
          await deeper.insert(authors).values(email(2));
          deeper.rollback();
        });
        await assert.rejects(inner, /Rollback/);
      });
      const failing = db.transaction((tx) => tx.insert(authors).values(email(1)), {
        isolationLevel: 'repeatable read',
      });
      await assert.rejects(failing, (error) => {
        assert.ok(error instanceof DrizzleQueryError);
        const { code, constraint } = error.cause as pg.DatabaseError;
        assert.deepEqual(
          { code, constraint },
          { code: '23505', constraint: 'dz_authors_email_unique' },
        );
        return true;
      });
      const found = await db
        .select()
        .from(authors)
        .where(sql`email LIKE 'tx%'`);
      assert.equal(found.length, 1);
    }),

  'reads constraint errors by their cause': (place) =>
    withPg(place, async (db) => {
      const orphan = db.insert(books).values({ authorId: -1, title: 'of nobody' });
      await assert.rejects(orphan, (error) => {
        assert.ok(error instanceof DrizzleQueryError);
        const { code, constraint } = error.cause as pg.DatabaseError;
        assert.equal(`${code} ${constraint}`, '23503 dz_books_author_id_dz_authors_id_fk');
        return true;
      });
      assert.equal((await db.select().from(books).where(eq(books.authorId, -1))).length, 0);
    }),

  'does the same over postgres.js': async (place) => {
    const client = postgres(place.url, { max: place.clientsMax, onnotice: () => {} });
    try {
      const db = overPostgresJs(client, { schema });
      await withMigrations((migrationsFolder) => migratePostgresJs(db, { migrationsFolder }));
      await db.insert(authors).values({ email: 'pj@x', profile: { likes: ['rain'] } });
      const found = await db.query.authors.findFirst({
        where: eq(authors.email, 'pj@x'),
        with: { books: true },
      });
      assert.deepEqual([found?.profile, found?.books], [{ likes: ['rain'] }, []]);
      const failing = db.transaction(async (tx) => {
        await tx.delete(authors).where(eq(authors.email, 'pj@x'));
        tx.rollback();
      });
      await assert.rejects(failing, /Rollback/);
      assert.equal((await db.select().from(authors).where(eq(authors.email, 'pj@x'))).length, 1);
    } finally {
      await client.end();
    }
  },

  'connects again after the database restarted': async (place) => {
    const { db, pool } = openPg(place);
    try {
      await Promise.all(upTo(4).map(() => db.execute('SELECT 1')));
      await place.restartServer();
      await Promise.all(upTo(8).map(() => db.execute('SELECT 1').then(String, String)));
      const { rows } = await db.execute('SELECT 2 AS v');
      assert.deepEqual(rows, [{ v: 2 }]);
    } finally {
      await pool.end();
    }
  },
};

export const drizzleSuite: Suite = {
  name: 'drizzle',
  id: 'drizzle',
  versions: npmVersions('drizzle-orm'),
  cases,
  ordinary: {
    'schema creation': 'migrates once, however often it is started',
    'prepared queries': 'runs a prepared query 50 times over as many connections as it may open',
    transactions: 'rolls back a transaction and a savepoint inside of one',
    errors: 'reads constraint errors by their cause',
    'restart of the database': 'connects again after the database restarted',
  },
};
