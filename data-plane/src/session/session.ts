/**
 * What the sessions of both protocols share: the states one can be in, and what the process may ask
 * of any of them.
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { AccessRequest } from '../access/access-rules.ts';

/**
 * - `login`: not authenticated yet
 * - `idle`: authenticated, holds no server connection, nothing asked
 * - `waiting`: in line for a server connection
 * - `leased`: owns a server connection
 * - `skipping`: its batch was refused; messages are dropped up to the end of that batch
 * - `closed`: nothing more is read or written
 */
export type SessionState = 'login' | 'idle' | 'waiting' | 'leased' | 'skipping' | 'closed';

export interface Session {
  readonly state: SessionState;
  /** `tenantKey` of its tenant, once it is authenticated. */
  readonly tenantKey: string | undefined;
  /** What access rules know of it, once it is authenticated. */
  readonly access: AccessRequest | undefined;
  /**
   * Ends it with `error`: at once outside a transaction, else at the end of the transaction under
   * way.
   */
  endWhenIdle(error: AppError): void;
  /** Ends it now, whatever it does. */
  kill(error: AppError): void;
}

/** Every session of the process: for limits, drains and the removal of tenants. */
export class SessionRegistry {
  readonly #sessions = new Set<Session>();
  #empty: PromiseWithResolvers<void> | undefined;

  get size(): number {
    return this.#sessions.size;
  }

  add(session: Session): void {
    this.#sessions.add(session);
  }

  delete(session: Session): void {
    this.#sessions.delete(session);
    if (this.#sessions.size === 0) this.#empty?.resolve();
  }

  /** Resolves as soon as no session is left. */
  whenEmpty(): Promise<void> {
    if (this.#sessions.size === 0) return Promise.resolve();
    this.#empty = Promise.withResolvers();
    return this.#empty.promise;
  }

  /** Ends those that `concerns` says, each as soon as it is between transactions. */
  endWhenIdle(error: AppError, concerns: (session: Session) => boolean = () => true): void {
    for (const session of this.#sessions) if (concerns(session)) session.endWhenIdle(error);
  }

  *where(fits: (session: Session) => boolean): Iterable<Session> {
    for (const session of this.#sessions) if (fits(session)) yield session;
  }

  killAll(error: AppError): void {
    for (const session of this.#sessions) session.kill(error);
  }
}
