/**
 * One writer per database: a lock the operating system frees when its process ends, however it
 * ends. It is SQLite's own exclusive lock on an empty database beside the real one, so that others
 * can still read that. Leaves: file systems without working locks (some NFS) to the operator; a
 * database does not belong there.
 */
import Database from 'better-sqlite3';
import { controlErrors } from '../errors.ts';
import { lockHolderOf } from './lock-holder.ts';
import { makePrivate } from './private-file.ts';

export interface WriterLock {
  release(): void;
}

/** @throws STORE_LOCKED when another process, or another store of this one, holds it. */
export function acquireWriterLock(databaseFile: string): WriterLock {
  const file = `${databaseFile}.lock`;
  makePrivate(file);
  const lock = new Database(file, { timeout: 0 });
  try {
    // Nothing is ever written to it, so it needs no journal file beside it.
    lock.pragma('journal_mode = MEMORY');
    lock.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    lock.close();
    const holder = lockHolderOf([file]);
    const who = holder === undefined ? '' : `: ${holder}`;
    const message = `Another control plane writes to ${databaseFile}${who}.`;
    throw controlErrors.fail('STORE_LOCKED', message, {
      hint: 'Only one may run on a data directory. Stop the other one, or give this one its own.',
      cause,
    });
  }
  return { release: () => void lock.close() };
}
