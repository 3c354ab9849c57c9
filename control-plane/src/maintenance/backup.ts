/**
 * Copies of an event log: made while a control plane writes to it, and put in place of none.
 * A copy is looked through from the first event to the last before it counts as one. The master key
 * is not in it: whoever has a copy alone opens no password.
 * Source: SQLite, "VACUUM INTO" (a copy of one moment; it is not synced, so we do that).
 */
import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { makeFolder, syncPath } from '@dbbouncer/shared/files/durable-folder.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { controlErrors } from '../errors.ts';
import { projectViews } from '../projections/tenant-views.ts';
import { decodeEventMessage } from '../publish/event-message.ts';
import type { StoredEvent } from '../store/event.ts';
import { namingFailures } from '../store/failures.ts';
import { LogFile } from '../store/log-file.ts';
import { ReceivedLog } from '../store/received-log.ts';
import { copyDatabase } from '../store/sqlite-database.ts';
import { openSqliteEventStore } from '../store/sqlite-event-store.ts';
import { acquireWriterLock } from '../store/writer-lock.ts';
import { readPublished } from './read-published.ts';
import { databaseOf, reading, requireDatabaseOf } from './data-folder.ts';
import { verifyLog } from './verify.ts';
import type { OnProgress, Verdict } from './verify.ts';

type Whole = Extract<Verdict, { outcome: 'whole' }>;

/**
 * Copies the event log of a data folder, of one moment, to `file` (mode 0600), which is there only
 * when the copy is complete, on disk and found whole.
 * @throws SETTINGS_INVALID when there is no log, `file` is there already, or its folder is not;
 * STORE_DAMAGED when the log is not as it was written; STORE_FULL, STORE_BUSY, STORE_FAILED.
 */
export function backUp(dataDir: string, file: string, onProgress?: OnProgress): Whole {
  requireAbsent(file, 'Choose another name: a backup overwrites nothing.');
  if (!existsSync(dirname(file))) {
    throw sharedErrors.fail('SETTINGS_INVALID', `There is no folder ${dirname(file)}.`, {
      hint: 'Make it first, or choose another one.',
    });
  }
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
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) {
    throw sharedErrors.fail('SETTINGS_INVALID', `There is no backup at ${file}.`);
  }
  return inFolderWithoutLog(dataDir, (target) =>
    placed(target, (draft) => {
      namingFailures(() => {
        copyFileSync(file, draft, constants.COPYFILE_EXCL);
        chmodSync(draft, 0o600);
      });
      return blaming(file, () => requireWhole(draft, onProgress));
    }),
  );
}

const UNREADABLE: ReadonlySet<string> = new Set(['STORE_DAMAGED', 'STORE_FAILED']);

/** What is wrong with a copy that nobody else has is wrong with `file`, of which it was made. */
function blaming<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!controlErrors.is(error) || !UNREADABLE.has(error.code)) throw error;
    const { message: detail } = error;
    throw controlErrors.fail('STORE_DAMAGED', `${file} is no whole backup; nothing was restored.`, {
      detail,
      hint: 'Take another one, as dbbouncer backup makes them.',
      cause: error,
    });
  }
}

/**
 * Runs `work` while nobody else can make a log there.
 * @throws SETTINGS_INVALID when the folder has one, STORE_LOCKED, STORE_FULL, STORE_FAILED, and
 * what `work` throws.
 */
function inFolderWithoutLog<T>(dataDir: string, work: (target: string) => T): T {
  namingFailures(() => makeFolder(dataDir));
  const target = databaseOf(dataDir);
  const lock = namingFailures(() => acquireWriterLock(target));
  try {
    for (const name of [target, `${target}-wal`]) {
      requireAbsent(name, 'Restore into an empty folder, or move what is there away first.');
    }
    return work(target);
  } finally {
    lock.release();
  }
}

/**
 * Makes the events on the bus the log of a data folder that has none, with its read models.
 * @throws SETTINGS_INVALID when the folder has a log, or the bus no event; STORE_LOCKED while a
 * control plane runs there; STORE_DAMAGED when what is on the bus is no whole log; BUS_UNAVAILABLE;
 * STORE_FULL, STORE_BUSY, STORE_FAILED.
 */
export async function restorePublished(
  bus: Bus,
  dataDir: string,
  clock: Clock,
  onProgress?: OnProgress,
): Promise<Whole> {
  // Before a long log is received in vain.
  inFolderWithoutLog(dataDir, () => {});
  const draftDir = `${dataDir}/received`;
  namingFailures(() => makeFolder(draftDir));
  const draft = databaseOf(draftDir);
  rmSync(draft, { force: true });
  try {
    await receive(bus, draft, clock);
    const options = { file: draft, durability: 'full', clock, log: silentLogger } as const;
    openSqliteEventStore({ ...options, project: projectViews }).close();
    return restoreBackup(draft, dataDir, onProgress);
  } finally {
    rmSync(draftDir, { recursive: true, force: true });
  }
}

async function receive(bus: Bus, file: string, clock: Clock): Promise<void> {
  const received = new ReceivedLog(file);
  try {
    const problem = await readPublished(bus, clock, ({ data, sequence }) => {
      const reason = problemWith(tryDecode(data), received);
      return reason && `message ${sequence} ${reason}`;
    });
    if (problem !== undefined) throw damaged(`The copy on the bus is not whole: ${problem}.`);
    if (received.position === 0) {
      throw sharedErrors.fail('SETTINGS_INVALID', 'There are no events on the bus.');
    }
    received.commit();
  } finally {
    received.close();
  }
}

/** Adds the events of a message, or says why one of them does not belong there. */
function problemWith(
  events: readonly StoredEvent[] | undefined,
  received: ReceivedLog,
): string | undefined {
  if (events === undefined) return 'is no event';
  for (const event of events) {
    const reason = received.add(event);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function tryDecode(data: Uint8Array): readonly StoredEvent[] | undefined {
  try {
    return decodeEventMessage(data).events;
  } catch {
    return undefined;
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
  const { where, reason } = verdict;
  throw damaged(`The event log is not as it was written: ${where}: ${reason}.`);
}

function damaged(message: string): Error {
  return controlErrors.fail('STORE_DAMAGED', message, {
    hint: 'dbbouncer verify looks through the log of a data folder.',
  });
}

function requireAbsent(file: string, hint: string): void {
  if (!existsSync(file)) return;
  throw sharedErrors.fail('SETTINGS_INVALID', `${file} is there already.`, { hint });
}

function sync(path: string): void {
  namingFailures(() => syncPath(path));
}
