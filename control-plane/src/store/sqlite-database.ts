/**
 * Opens the database file: permissions, durability, migrations. And names SQLite's failures as
 * ours.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { drizzle } from 'drizzle-orm/better-sqlite3';
import type { BetterSQLite3Database } from 'drizzle-orm/better-sqlite3';
import { migrate } from 'drizzle-orm/better-sqlite3/migrator';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { controlErrors } from '../errors.ts';
import { makePrivate } from './private-file.ts';

export type Durability = 'full' | 'normal';

export interface SqliteDatabase {
  readonly client: Database.Database;
  readonly orm: BetterSQLite3Database;
}

const MIGRATIONS = fileURLToPath(new URL('../../../migrations', import.meta.url));
/** Migrations that only make what is not there: run at each start. */
const READ_MODELS_SQL = ['0003_read_models.sql', '0004_api_keys.sql'];
/** How long a statement waits for another program that holds the file; the process stands still. */
const BUSY_TIMEOUT_MS = 1_000;
const CACHE_KIB = 64 * 1024;

/** @throws STORE_FULL, STORE_BUSY, STORE_FAILED */
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
      for (const file of READ_MODELS_SQL) {
        client.exec(readFileSync(`${MIGRATIONS}/${file}`, 'utf8'));
      }
      return { client, orm };
    } catch (error) {
      client.close();
      throw error;
    }
  });
}

/**
 * @throws what `work` throws, with SQLite's own errors turned into STORE_FULL, STORE_BUSY or
 * STORE_FAILED.
 */
export function namingFailures<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw namedFailure(error);
  }
}

function namedFailure(error: unknown): unknown {
  if (error instanceof AppError) return error;
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (!(cause instanceof Database.SqliteError) && !isSystemError(cause)) return error;
  if (cause.code === 'SQLITE_FULL' || cause.code === 'ENOSPC') {
    return controlErrors.fail('STORE_FULL', 'The disk of the event log is full.', { cause });
  }
  if (cause.code.startsWith('SQLITE_BUSY') || cause.code.startsWith('SQLITE_LOCKED')) {
    return controlErrors.fail('STORE_BUSY', 'The event log is locked by another program.', {
      cause,
    });
  }
  return controlErrors.fail('STORE_FAILED', 'The event log could not be read or written.', {
    context: { code: cause.code },
    cause,
  });
}

function isSystemError(error: unknown): error is Error & { readonly code: string } {
  return (
    error instanceof Error &&
    'syscall' in error &&
    'code' in error &&
    typeof error.code === 'string'
  );
}
