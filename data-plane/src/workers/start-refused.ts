/**
 * Why a supervisor could not start, as its first worker said it.
 */
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { StartFailure } from './messages.ts';

/** What a worker could not start for, to be told to its supervisor. */
export function startFailureOf(error: unknown): StartFailure {
  const { code, hint } = error instanceof AppError ? error : { code: undefined, hint: undefined };
  return { code, hint, message: error instanceof Error ? error.message : String(error) };
}

/** The same in the supervisor: SETTINGS_INVALID stays that, anything else is an Error. */
export function startRefused(failure: StartFailure | undefined): Error {
  if (failure === undefined) {
    return new Error('a worker ended before it had started; its own log says why');
  }
  const { code, message, hint } = failure;
  if (code !== 'SETTINGS_INVALID') return new Error(message);
  return sharedErrors.fail(code, message, hint === undefined ? {} : { hint });
}
