/**
 * What the sessions of both protocols share: the states one can be in, and what the process may ask
 * of any of them.
 */
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { AccessRequest } from '../access/access-rules.ts';
import type { Timed } from './time-limits.ts';

/**
 * - `login`: not authenticated yet
 * - `idle`: authenticated, holds no server connection, nothing asked
 * - `begun`: as `idle`, in a transaction that no server knows of yet
 * - `failed`: the same, and the transaction has failed
 * - `waiting`: in line for a server connection
 * - `leased`: owns a server connection
 * - `shared`: its batch runs on a server connection that many clients use at a time
 * - `settling`: owns one that the proxy is talking to itself
 * - `skipping`: its batch was refused; messages are dropped up to the end of that batch
 * - `closed`: nothing more is read or written
 */
export type SessionState =
  | 'login'
  | 'idle'
  | 'begun'
  | 'failed'
  | 'waiting'
  | 'leased'
  | 'shared'
  | 'settling'
  | 'skipping'
  | 'closed';

/**
 * What becomes of a statement under way outside a transaction when its session is killed; the
 * default is `let_finish`. Within a transaction it is cancelled in any case. `close`: the server
 * connection is closed at once, whatever it does.
 */
export type WorkOfKilled = 'let_finish' | 'cancel' | 'close';

/** Who an authenticated client is, for operators. */
export interface ClientFacts {
  /** Rises with each client of this process. */
  readonly number: number;
  readonly tenant: string;
  readonly user: string;
  readonly database: string;
  readonly access: AccessRequest;
  readonly pooling: PoolMode;
  /** When it was logged in, by the clock of the process. */
  readonly sinceMs: number;
}

export interface Session {
  readonly state: SessionState;
  /** `tenantKey` of its tenant, once it is authenticated. */
  readonly tenantKey: string | undefined;
  /** What access rules know of it, once it is authenticated. */
  readonly access: AccessRequest | undefined;
  /** Once it is logged in. */
  readonly client: ClientFacts | undefined;
  /** For its time limits; a login has one deadline instead. */
  readonly timed: Timed | undefined;
  /**
   * Ends it with `error`: at once outside a transaction, else at the end of the transaction under
   * way.
   */
  endWhenIdle(error: AppError): void;
  /** Takes back an `endWhenIdle` with an error of this code, where it has not happened yet. */
  stay(code: AppError['code']): void;
  /** Ends it now, whatever it does. */
  kill(error: AppError, work?: WorkOfKilled): void;
  /** Why it cannot go on under a later config of its tenant. */
  hindranceUnder(tenant: TenantConfig): AppError | undefined;
}

/** Every session of the process: for limits, drains, and what happens to tenants. */
export class SessionRegistry {
  readonly #sessions = new Set<Session>();
  /** Those that are authenticated, by `tenantKey`. */
  readonly #byTenant = new Map<string, Set<Session>>();
  #empty: PromiseWithResolvers<void> | undefined;
  #numbers = 0;

  get size(): number {
    return this.#sessions.size;
  }

  /** For a client that is to be added now; those that were are in the order of their numbers. */
  newNumber(): number {
    return (this.#numbers += 1);
  }

  add(session: Session): void {
    this.#sessions.add(session);
    this.placed(session);
  }

  /** The tenant of a session that was added has become known. */
  placed(session: Session): void {
    const { tenantKey } = session;
    if (tenantKey === undefined) return;
    const known = this.#byTenant.get(tenantKey);
    if (known === undefined) this.#byTenant.set(tenantKey, new Set([session]));
    else known.add(session);
  }

  delete(session: Session): void {
    this.#sessions.delete(session);
    this.#deleteOfTenant(session);
    if (this.#sessions.size === 0) this.#empty?.resolve();
  }

  #deleteOfTenant(session: Session): void {
    const { tenantKey } = session;
    if (tenantKey === undefined) return;
    const known = this.#byTenant.get(tenantKey);
    if (known?.delete(session) === true && known.size === 0) this.#byTenant.delete(tenantKey);
  }

  /** The sessions that are authenticated, by `tenantKey`. */
  get byTenant(): ReadonlyMap<string, ReadonlySet<Session>> {
    return this.#byTenant;
  }

  /** The sessions of one tenant. */
  of(tenantKey: string): ReadonlySet<Session> {
    return this.#byTenant.get(tenantKey) ?? NONE;
  }

  /** Resolves as soon as no session is left. */
  whenEmpty(): Promise<void> {
    if (this.#sessions.size === 0) return Promise.resolve();
    this.#empty = Promise.withResolvers();
    return this.#empty.promise;
  }

  /** Ends all, or those of one tenant, each as soon as it is between transactions. */
  endWhenIdle(error: AppError, tenantKey?: string): void {
    for (const session of this.#those(tenantKey)) session.endWhenIdle(error);
  }

  *where(fits: (session: Session) => boolean): Iterable<Session> {
    for (const session of this.#sessions) if (fits(session)) yield session;
  }

  /** Lets those go on that were to end with an error of this code and have not yet. */
  stay(code: AppError['code'], tenantKey: string): void {
    for (const session of this.#those(tenantKey)) session.stay(code);
  }

  /** Ends all, or those of one tenant, now. */
  kill(error: AppError, work: WorkOfKilled, tenantKey?: string): void {
    for (const session of this.#those(tenantKey)) session.kill(error, work);
  }

  #those(tenantKey: string | undefined): ReadonlySet<Session> {
    return tenantKey === undefined ? this.#sessions : this.of(tenantKey);
  }
}

const NONE: ReadonlySet<Session> = new Set();
