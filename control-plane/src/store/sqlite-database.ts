/**
 * Opens the database file: permissions, durability, migrations.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import type { BetterSQLite3Database } from 'drizzle-orm/better-sqlite3';
import { drizzle, migrate } from './drizzle.ts';
import { namingFailures } from './failures.ts';
import { makePrivate } from './private-file.ts';

export type Durability = 'full' | 'normal';

export interface SqliteDatabase {
  /** Where it lies. */
  readonly file: string;
  readonly client: Database.Database;
  readonly orm: BetterSQLite3Database;
}

export const MIGRATIONS = fileURLToPath(new URL('../../../migrations', import.meta.url));
/** Migrations that only make what is not there: run at each start. */
const READ_MODELS_SQL = ['0003_read_models.sql', '0004_api_keys.sql', '0007_servers.sql'];
/** What these make and no event fills. */
export const UNFOLDED_TABLES: readonly string[] = ['api_key_uses'];
/** How long a statement waits for another program that holds the file; the process stands still. */
export const BUSY_TIMEOUT_MS = 1_000;
const CACHE_KIB = 64 * 1024;

/** @throws STORE_FULL, STORE_BUSY, STORE_DAMAGED, STORE_FAILED */
export function openDatabase(file: string, durability: Durability): SqliteDatabase {
  return namingFailures(() => {
    // SQLite gives its side files (-wal, -shm) the same mode.
    makePrivate(file);
    const client = new Database(file, { timeout: BUSY_TIMEOUT_MS });
    try {
      // WAL with FULL syncs on every commit; with NORMAL only at checkpoints, which a process crash
      // survives too.
      client.pragma('journal_mode = WAL');
      client.pragma(`synchronous = ${durability === 'full' ? 'FULL' : 'NORMAL'}`);
      client.pragma(`cache_size = -${CACHE_KIB}`);
      const orm = drizzle(client);
      migrate(orm, { migrationsFolder: MIGRATIONS });
      createReadModels(client);
      return { file, client, orm };
    } catch (error) {
      client.close();
      throw error;
    }
  }, file);
}

/**
 * A database that is there, to be read only, beside whoever writes to it.
 * @throws STORE_BUSY, STORE_FAILED
 */
export function openForReading(file: string): Database.Database {
  return namingFailures(
    () => new Database(file, { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS }),
    file,
  );
}

/**
 * Copies a database, as it is at one moment and without empty room, to a file that is not there yet
 * (mode 0600). Writers go on meanwhile. Not synced.
 * @throws STORE_FULL, STORE_BUSY, STORE_FAILED
 */
export function copyDatabase(from: string, to: string): void {
  const client = openForReading(from);
  try {
    namingFailures(() => {
      makePrivate(to);
      client.prepare('VACUUM INTO ?').run(to);
    }, from);
  } finally {
    client.close();
  }
}

/** Empty read models in memory, to fold events beside those that are kept. */
export function openReadModelsInMemory(): SqliteDatabase {
  const client = new Database(':memory:');
  createReadModels(client);
  return { file: ':memory:', client, orm: drizzle(client) };
}

/** Makes the tables of the read models that are not there. */
export function createReadModels(client: Database.Database): void {
  for (const file of READ_MODELS_SQL) {
    client.exec(readFileSync(`${MIGRATIONS}/${file}`, 'utf8'));
  }
}
