/**
 * The errors both adapters answer with, worded in one place.
 */
import { AppError } from '../kernel/errors.ts';
import { sharedErrors } from '../errors.ts';

/** BUS_UNAVAILABLE for an operation that did not come about; an AppError passes as it is. */
export function busUnavailable(operation: string, cause: unknown): AppError {
  if (cause instanceof AppError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return sharedErrors.fail('BUS_UNAVAILABLE', `The message bus could not ${operation}: ${reason}`, {
    cause,
  });
}

/** BUS_SEQUENCE_CONFLICT for a write that was to follow on something else than what is there. */
export function busConflict(what: string, expected: number | 'nothing'): AppError {
  const found = expected === 'nothing' ? 'holds something' : `is not at ${expected} any more`;
  return sharedErrors.fail('BUS_SEQUENCE_CONFLICT', `${what} ${found}; nothing was written.`);
}

/** BUS_MESSAGE_TOO_LARGE when `data` is above `bytesMax`. */
export function busTooLarge(
  what: string,
  data: Uint8Array,
  bytesMax: number,
): AppError | undefined {
  if (data.byteLength <= bytesMax) return undefined;
  return sharedErrors.fail(
    'BUS_MESSAGE_TOO_LARGE',
    `${what} has ${data.byteLength} bytes; the message bus carries at most ${bytesMax}`,
  );
}
