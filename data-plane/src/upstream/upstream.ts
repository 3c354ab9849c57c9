/**
 * What the pool asks of a protocol: open a server connection, clean one, close one. The pool core
 * knows no more.
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';

/** Why a server connection was closed; logs and metrics use the same words. */
export type CloseReason =
  | 'idle_timeout'
  /** It was opened from the reserve, and nobody needs it any more. */
  | 'reserve_unused'
  | 'max_lifetime'
  | 'max_queries'
  | 'over_limit'
  /** Closed so that another database of its tenant could have the slot. */
  | 'evicted'
  | 'pool_drained'
  /** Its tenant is paused. */
  | 'paused'
  | 'reset_failed'
  /** The server did not answer on an idle connection. */
  | 'check_failed'
  | 'server_gone'
  | 'protocol_error'
  | 'client_gone'
  | 'suspect_state'
  | 'shutdown';

/** One server connection that has logged in. */
export interface Backend {
  /** Queries, and batches up to a Sync, that the server has answered since the login. */
  readonly answered: number;
  /**
   * Ends the connection; idempotent. The pool's slot stays occupied until `ServerEvents.closed`.
   */
  close(reason: CloseReason): void;
}

/** What a backend tells its pool, at most once each after `dial` succeeded. */
export interface ServerEvents {
  /** The server has closed its side (or the socket is destroyed): the slot is free. */
  closed(): void;
  /**
   * Asked before anything that brings a dial nearer to its end is sent: whether there is still a
   * slot for it. Without one the dial fails, and nothing more is sent. Absent: there always is.
   */
  mayGoOn?(): boolean;
}

export interface Upstream<B extends Backend> {
  /**
   * Connects and logs in.
   * `events.closed` may be called as soon as the promise has resolved, never before; on rejection
   * nothing is left open.
   * @throws AppError UPSTREAM_UNREACHABLE | UPSTREAM_REFUSED | SECRET_UNAVAILABLE
   */
  dial(events: ServerEvents, signal: AbortSignal): Promise<B>;
  /**
   * Why no dial can succeed now, known without trying, and no fault of the server: it is not tried,
   * and begins no pause. Only WAITING_FOR_LOGIN so far; absent: there is never such a reason.
   */
  readonly hindrance?: () => DialError | undefined;
  /** Cleans a dirty backend for its next client. @throws when it must be closed instead. */
  reset(backend: B): Promise<void>;
  /** Asks the server of an idle backend for a sign of life. @throws when none comes in time. */
  check(backend: B): Promise<void>;
}

export type DialError = AppError;
