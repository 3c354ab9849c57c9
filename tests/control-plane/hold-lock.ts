/** A program that says `locked` when it holds the write lock of a database; SIGTERM frees it. */
import Database from 'better-sqlite3';

export const HOLD_LOCK = import.meta.filename;

if (import.meta.main) {
  const [, , file = ''] = process.argv;
  const database = new Database(file);
  database.exec('BEGIN IMMEDIATE');
  process.stdout.write('locked\n');
  const waiting = setInterval(() => {}, 60_000);
  // The handler keeps the database from being collected, and its lock with it.
  process.once('SIGTERM', () => {
    database.close();
    clearInterval(waiting);
  });
}
