/**
 * What a client in line hears.
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { WaitReason } from './wait-reason.ts';

/** Why a client waits, safe to show to it. */
export interface WaitNotice {
  readonly reason: WaitReason;
  readonly message: string;
  readonly detail: string;
  readonly hint: string;
}

/**
 * A client in line. Exactly one of the first three is called, once, unless `cancelWait` comes
 * first.
 */
export interface Waiter<B> {
  /** The client holds `backend` until `release` or `discard`. A throw costs it the backend. */
  granted(backend: B): void;
  /** POOL_ACQUIRE_TIMEOUT, POOL_QUEUE_FULL, SHUTTING_DOWN, or the error of the dial that failed. */
  refused(error: AppError): void;
  /** The pool was drained: ask the one that is current now; `waitedSinceMs` keeps the place. */
  moved(waitedSinceMs: number): void;
  /** It has waited for `queryWaitNotifyMs` and stays in line; at most once, before the others. */
  stillWaiting?(notice: WaitNotice): void;
}
