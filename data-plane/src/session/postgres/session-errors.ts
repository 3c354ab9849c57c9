/** What a client that has logged in reads when its session cannot go on. */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { proxyErrors } from '../../errors.ts';
import { WireError } from '../../wire/wire-error.ts';

/** A fault of the proxy ends one session, with its details in the log; the others go on. */
export function asSessionError(error: unknown, log: Logger): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof WireError) return proxyErrors.fail('PROTOCOL_VIOLATION', error.message);
  log.error({ error }, 'a session ended by a fault of the proxy');
  return proxyErrors.fail('INTERNAL', 'a fault of the proxy ended this session', {
    hint: 'Connect again, and tell the operator of the proxy.',
    cause: error,
  });
}

export function userRemoved(tenant: string, user: string): AppError {
  return proxyErrors.fail('USER_REMOVED', `user "${user}" is no longer one of tenant "${tenant}"`, {
    hint: 'Connect again as a user that the tenant has.',
  });
}

export function databaseGone(tenant: string, database: string): AppError {
  const message = `database "${database}" is no longer one of tenant "${tenant}"`;
  return proxyErrors.fail('DATABASE_NOT_LISTED', message, {
    hint: 'Connect again without a database name, or to one that the tenant lists.',
  });
}

export function serverEnded(cause: Error | undefined): AppError {
  return proxyErrors.fail('UPSTREAM_LOST', 'the server connection ended unexpectedly', {
    detail: cause?.message ?? 'the server closed the connection',
    hint: 'The outcome of the statement under way is not known; connect again.',
  });
}

export function parametersNotSet(cause: unknown): AppError {
  const words = cause instanceof Error ? cause.message : String(cause);
  const message = `the session parameters of this client could not be set: ${words}`;
  return proxyErrors.fail('UPSTREAM_LOST', message);
}

export function cancelled(): AppError {
  return proxyErrors.fail('CANCELLED', 'canceling statement due to user request');
}

/** In the words of a server. */
export function inFailedTransaction(): AppError {
  const message = 'current transaction is aborted, commands ignored until end of transaction block';
  return proxyErrors.fail('TRANSACTION_ABORTED', message);
}

export function notAllowedNow(type: number): WireError {
  return new WireError(`message "${String.fromCharCode(type)}" is not allowed at this point`);
}
