/** Where the event log of a data folder lies, and what to say when there is none. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { DATABASE_FILE } from '../core.ts';
import { LogFile } from '../store/log-file.ts';

export function databaseOf(dataDir: string): string {
  return join(dataDir, DATABASE_FILE);
}

/**
 * The event log of a data folder, to be read only, whether it is in use or not; the caller closes
 * it.
 * @throws SETTINGS_INVALID when there is none; STORE_BUSY, STORE_FAILED
 */
export function openLogOf(dataDir: string): LogFile {
  return new LogFile(requireDatabaseOf(dataDir));
}

/** @throws SETTINGS_INVALID when there is none. */
export function requireDatabaseOf(dataDir: string): string {
  const file = databaseOf(dataDir);
  if (existsSync(file)) return file;
  throw sharedErrors.fail('SETTINGS_INVALID', `There is no event log at ${file}.`, {
    hint: 'Name the folder of a control plane with --data-dir or DBBOUNCER_DATA_DIR.',
  });
}

/** Runs `work` on a log and closes that. @throws what `work` throws. */
export function reading<T>(log: LogFile, work: (log: LogFile) => T): T {
  try {
    return work(log);
  } finally {
    log.close();
  }
}
