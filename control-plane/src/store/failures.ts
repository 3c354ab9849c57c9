/**
 * SQLite's and the file system's failures in our words: what happened to which file, and what a
 * person does about it.
 * Source: SQLite, "Result and Error Codes".
 */
import Database from 'better-sqlite3';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { controlErrors } from '../errors.ts';
import { lockHolderOf } from './lock-holder.ts';

/** What a failure without a file at hand is about. */
const EVENT_LOG = 'the event log';
const DAMAGED = /^SQLITE_(CORRUPT|NOTADB)/;
const LOCKED = /^SQLITE_(BUSY|LOCKED)/;

/**
 * @param file of the database, to be named.
 * @throws what `work` throws, with SQLite's own errors turned into STORE_FULL, STORE_BUSY,
 * STORE_DAMAGED or STORE_FAILED.
 */
export function namingFailures<T>(work: () => T, file?: string): T {
  try {
    return work();
  } catch (error) {
    throw namedFailure(error, file);
  }
}

function namedFailure(error: unknown, file: string | undefined): unknown {
  if (error instanceof AppError) return error;
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (!(cause instanceof Database.SqliteError) && !isSystemError(cause)) return error;
  const { code } = cause;
  const what = file ?? EVENT_LOG;
  const context = { code, file };
  if (code === 'SQLITE_FULL' || code === 'ENOSPC') {
    return controlErrors.fail('STORE_FULL', `The disk of ${what} is full.`, {
      hint: 'Make room there; writing goes on by itself.',
      context,
      cause,
    });
  }
  if (LOCKED.test(code)) return lockedOut(what, file, cause);
  if (DAMAGED.test(code)) return damaged(what, cause);
  const message = `${capital(what)} could not be read or written (${code}).`;
  return controlErrors.fail('STORE_FAILED', message, {
    hint: 'Look at the disk it lies on; its own messages are in the log of the system.',
    context,
    cause,
  });
}

function lockedOut(what: string, file: string | undefined, cause: Error): AppError {
  const files = file === undefined ? [] : [file, `${file}-shm`];
  const holder = lockHolderOf(files) ?? 'another program';
  return controlErrors.fail('STORE_BUSY', `${capital(what)} is locked by ${holder}.`, {
    hint: 'End what it does there; writing goes on by itself.',
    cause,
  });
}

/** @param place as in `event 7`. @throws STORE_DAMAGED when it is no JSON */
export function parsed(text: string, place: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // What the parser says quotes the text, which belongs in no message.
    throw damaged(`${place} of ${EVENT_LOG}`);
  }
}

function damaged(what: string, cause?: Error): AppError {
  return controlErrors.fail('STORE_DAMAGED', `${capital(what)} is damaged.`, {
    hint:
      'dbbouncer verify says what is not as it was written. Stop the control plane, keep a copy' +
      ' of the data folder, and put a backup in place with dbbouncer restore.',
    ...(cause !== undefined && { cause, context: { reason: cause.message } }),
  });
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

function isSystemError(error: unknown): error is Error & { readonly code: string } {
  return (
    error instanceof Error &&
    'syscall' in error &&
    'code' in error &&
    typeof error.code === 'string'
  );
}

/**
 * A failing disk may have taken all of it or not: what lies behind the last kept commit comes back
 * with the next start, unless something is written over it before.
 */
export function unkept(error: unknown): unknown {
  if (!controlErrors.is(error) || error.code !== 'STORE_FAILED') return error;
  return controlErrors.fail('STORE_OUTCOME_UNKNOWN', `${error.message} The change is not there.`, {
    detail: 'If the control plane is killed before writing works again, it may come back.',
    cause: error,
  });
}
