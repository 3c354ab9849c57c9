/**
 * Whether the event log takes changes. When it fails to keep one, it is read-only from then on:
 * reads, proxies and the fleet go on, and whoever writes is told at once, without a try that would
 * hold everything up. A small write is tried now and then, and opens the gate when it is kept; a
 * damaged log stays shut until a person has looked at it.
 * Leaves: the tries themselves to the store, statuses to api/.
 */
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { controlErrors } from '../errors.ts';
import type { ControlErrorCode } from '../errors.ts';

export type WriteState =
  | { readonly mode: 'writable' }
  | {
      readonly mode: 'read_only';
      readonly cause: ShutCause;
      /** RFC 3339. */
      readonly since: string;
    };

/** What shuts the gate; anything else that a write fails with concerns that write alone. */
const SHUT_CAUSES = [
  'STORE_BUSY',
  'STORE_DAMAGED',
  'STORE_FAILED',
  'STORE_FULL',
  'STORE_OUTCOME_UNKNOWN',
] as const satisfies readonly ControlErrorCode[];
export type ShutCause = (typeof SHUT_CAUSES)[number];

export const GATE_TIMES = Object.freeze({
  /** Between two tries; told to clients as Retry-After. */
  tryAfterMs: 2_000,
});

export interface WriteGateOptions {
  /** Keeps something small. @throws STORE_* when that does not work */
  readonly tryWriting: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

type StoreFailure = AppError<ControlErrorCode> & { readonly code: ShutCause };

export class WriteGate {
  readonly #options: WriteGateOptions;
  #shut: { readonly failure: StoreFailure; readonly since: string } | undefined;
  #timer: Timer | undefined;

  constructor(options: WriteGateOptions) {
    this.#options = options;
  }

  get state(): WriteState {
    if (this.#shut === undefined) return WRITABLE;
    return { mode: 'read_only', cause: this.#shut.failure.code, since: this.#shut.since };
  }

  /** @throws STORE_READ_ONLY while it is shut. */
  requireOpen(): void {
    if (this.#shut !== undefined) throw readOnly(this.#shut.failure);
  }

  /**
   * Shuts when `error` says that the log takes no changes, and gives what to tell the sender of the
   * write that failed with it.
   */
  answerTo(error: unknown): unknown {
    if (!isStoreFailure(error)) return error;
    this.shut(error);
    return error.code === 'STORE_OUTCOME_UNKNOWN' ? error : readOnly(error);
  }

  /** Shuts for `error`, unless it is shut. */
  shut(error: unknown): void {
    if (this.#shut !== undefined || !isStoreFailure(error)) return;
    this.#shut = { failure: error, since: this.#options.clock.timestamp() };
    const { code: cause } = error;
    this.#options.log.error({ error, cause }, 'the event log is read-only: writes are refused');
    if (cause !== 'STORE_DAMAGED') this.#tryLater();
  }

  close(): void {
    this.#timer?.cancel();
  }

  #tryLater(): void {
    this.#timer = this.#options.clock.after(GATE_TIMES.tryAfterMs, () => this.#try());
  }

  #try(): void {
    const shut = this.#shut;
    if (shut === undefined) return;
    try {
      this.#options.tryWriting();
    } catch (error) {
      // What is in the way may be another thing by now.
      if (isStoreFailure(error)) this.#shut = { ...shut, failure: error };
      this.#options.log.debug({ error }, 'the event log is still read-only');
      if (this.#shut?.failure.code !== 'STORE_DAMAGED') this.#tryLater();
      return;
    }
    this.#shut = undefined;
    const { since, failure } = shut;
    this.#options.log.info({ since, cause: failure.code }, 'the event log takes changes again');
  }
}

const WRITABLE: WriteState = Object.freeze({ mode: 'writable' });

function readOnly(cause: StoreFailure): Error {
  return controlErrors.fail('STORE_READ_ONLY', `Nothing was changed. ${cause.message}`, {
    ...(cause.hint !== undefined && { hint: cause.hint }),
    cause,
  });
}

function isStoreFailure(error: unknown): error is StoreFailure {
  return controlErrors.is(error) && (SHUT_CAUSES as readonly string[]).includes(error.code);
}
