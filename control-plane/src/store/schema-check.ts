/**
 * Whether the tables, indexes and triggers of a database are those that its migrations make. Rows
 * can be held against events; what guards and finds rows can only be held against this.
 * Source: SQLite, "The Schema Table".
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { MIGRATIONS } from './sqlite-database.ts';

export interface SchemaDifference {
  /** As in `trigger events_are_not_changed`. */
  readonly what: string;
  readonly reason: string;
}

interface Part {
  readonly what: string;
  readonly sql: string;
}

/** Kept by what runs the migrations. */
const APPLIED = '__drizzle_migrations';
const PARTS = `SELECT type || ' ' || name AS what, sql FROM sqlite_master
  WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' AND name <> '${APPLIED}' ORDER BY what`;

/**
 * The first difference, or nothing. A database of before gets the later migrations at its next
 * start.
 */
export function schemaDifference(client: Database.Database): SchemaDifference | undefined {
  const applied = client.prepare(`SELECT count(*) FROM ${APPLIED}`).pluck().get() as number;
  const expected = partsAfter(applied);
  const kept = new Map(partsOf(client).map(({ what, sql }) => [what, sql]));
  for (const { what, sql } of expected) {
    if (!kept.has(what)) return { what, reason: 'is not there' };
    if (kept.get(what) !== sql) return { what, reason: 'is not what the migrations make it' };
    kept.delete(what);
  }
  const [what] = kept.keys();
  return what === undefined ? undefined : { what, reason: 'is there, and no migration makes it' };
}

function partsAfter(migrations: number): readonly Part[] {
  const client = new Database(':memory:');
  try {
    const files = readdirSync(MIGRATIONS).filter((name) => name.endsWith('.sql'));
    for (const file of files.sort().slice(0, migrations)) {
      client.exec(readFileSync(join(MIGRATIONS, file), 'utf8'));
    }
    return partsOf(client);
  } finally {
    client.close();
  }
}

function partsOf(client: Database.Database): readonly Part[] {
  return client.prepare(PARTS).all() as Part[];
}
