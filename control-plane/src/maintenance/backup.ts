/**
 * Copies of an event log: made while a control plane writes to it, and put in place of none.
 * A copy is looked through from the first event to the last before it counts as one. The master key
 * is not in it: whoever has a copy alone opens no password.
 * Source: SQLite, "VACUUM INTO" (a copy of one moment; it is not synced, so we do that).
 */
import { chmodSync, closeSync, copyFileSync, existsSync, fsyncSync } from 'node:fs';
import { constants, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { controlErrors } from '../errors.ts';
import { LogFile } from '../store/log-file.ts';
import { copyDatabase, namingFailures } from '../store/sqlite-database.ts';
import { acquireWriterLock } from '../store/writer-lock.ts';
import { databaseOf, reading, requireDatabaseOf } from './data-folder.ts';
import { verifyLog } from './verify.ts';
import type { OnProgress, Verdict } from './verify.ts';

type Whole = Extract<Verdict, { outcome: 'whole' }>;

/**
 * Copies the event log of a data folder, of one moment, to `file` (mode 0600), which is there only
 * when the copy is complete, on disk and found whole.
 * @throws SETTINGS_INVALID when there is no log, or `file` is there already; STORE_DAMAGED when the
 * log is not as it was written; STORE_FULL, STORE_BUSY, STORE_FAILED.
 */
export function backUp(dataDir: string, file: string, onProgress?: OnProgress): Whole {
  requireAbsent(file, 'Choose another name: a backup overwrites nothing.');
  return placed(file, (draft) => {
    copyDatabase(requireDatabaseOf(dataDir), draft);
    return requireWhole(draft, onProgress);
  });
}

/**
 * Makes `file` the event log of a data folder that has none.
 * @throws SETTINGS_INVALID when there is no such file, or the folder has a log; STORE_LOCKED while
 * a control plane runs there; STORE_DAMAGED; STORE_FULL, STORE_BUSY, STORE_FAILED.
 */
export function restoreBackup(file: string, dataDir: string, onProgress?: OnProgress): Whole {
  if (!existsSync(file)) {
    throw sharedErrors.fail('SETTINGS_INVALID', `There is no backup at ${file}.`);
  }
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const target = databaseOf(dataDir);
  const lock = namingFailures(() => acquireWriterLock(target));
  try {
    for (const name of [target, `${target}-wal`]) {
      requireAbsent(name, 'Restore into an empty folder, or move what is there away first.');
    }
    return placed(target, (draft) => {
      namingFailures(() => {
        copyFileSync(file, draft, constants.COPYFILE_EXCL);
        chmodSync(draft, 0o600);
      });
      return requireWhole(draft, onProgress);
    });
  } finally {
    lock.release();
  }
}

/** Has `make` fill a draft beside `file`; gives it that name when it is complete and on disk. */
function placed<T>(file: string, make: (draft: string) => T): T {
  const draft = `${file}.partial`;
  rmSync(draft, { force: true });
  try {
    const result = make(draft);
    sync(draft);
    renameSync(draft, file);
    sync(dirname(file));
    return result;
  } finally {
    for (const name of [draft, `${draft}-wal`, `${draft}-shm`]) rmSync(name, { force: true });
  }
}

function requireWhole(file: string, onProgress: OnProgress | undefined): Whole {
  const verdict = reading(new LogFile(file), (log) => verifyLog(log, onProgress));
  if (verdict.outcome === 'whole') return verdict;
  throw controlErrors.fail(
    'STORE_DAMAGED',
    `The event log is not as it was written: ${verdict.where}: ${verdict.reason}.`,
    { hint: 'dbbouncer verify looks through the log of a data folder.' },
  );
}

function requireAbsent(file: string, hint: string): void {
  if (!existsSync(file)) return;
  throw sharedErrors.fail('SETTINGS_INVALID', `${file} is there already.`, { hint });
}

function sync(path: string): void {
  namingFailures(() => {
    const handle = openSync(path, 'r');
    try {
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  });
}
