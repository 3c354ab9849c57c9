/**
 * How one client gets its server connections: from the pool that is its tenant's now, at once or in
 * line, with the client's own parameters.
 * Owns: which pool is asked, the wait and its measure, a backend that is being prepared. Leaves:
 * the session's state and what is sent on the backend to transaction.ts.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Pool, Waiter } from '../../pool/pool.ts';
import type { WaitNotice } from '../../pool/waiter.ts';
import { applyVector } from '../../upstream/apply-vector.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import type { TenantMeter } from '../meter.ts';
import { targetNow } from './place.ts';
import type { LoggedIn, SessionServices, Target } from './services.ts';
import { parametersNotSet } from './session-errors.ts';
import type { ClientSettings } from './state/client-settings.ts';

/** Who wants a server connection. Each `begin` that said `later` is answered once. */
export interface Acquirer {
  /** The backend is the client's, with the client's parameters. */
  acquired(backend: PostgresBackend): void;
  /** There is none yet: why, for the client. */
  stillWaiting(notice: WaitNotice): void;
  /** There is none for this batch; the session may go on. */
  refuseBatch(error: AppError): void;
  /** The session cannot go on. */
  kill(error: AppError): void;
}

export class Acquisition implements Waiter<PostgresBackend> {
  readonly #acquirer: Acquirer;
  readonly #services: SessionServices;
  readonly #login: LoggedIn;
  readonly settings: ClientSettings;
  #target: Target | undefined;
  /** A backend that is given this client's parameters before it may be used. */
  #preparing: PostgresBackend | undefined;
  #waitingSinceMs = 0;

  constructor(
    acquirer: Acquirer,
    services: SessionServices,
    login: LoggedIn,
    settings: ClientSettings,
  ) {
    this.#acquirer = acquirer;
    this.#services = services;
    this.#login = login;
    this.settings = settings;
  }

  /** Where the latest backend is from, or will be. */
  get target(): Target {
    assert(this.#target !== undefined, 'a backend was asked for');
    return this.#target;
  }

  /**
   * Asks for a backend. @returns it when one is at hand that has the client's parameters; an error
   * that ends the session; else the acquirer is told `later`, never from within this call.
   */
  begin(): PostgresBackend | 'later' | AppError {
    const failure = this.#choosePool();
    if (failure !== undefined) return failure;
    const { pool } = this.target;
    const backend = pool.take();
    if (backend?.vector.key === this.settings.vector.key) {
      this.#login.meter.acquired(0);
      return backend;
    }
    this.#waitingSinceMs = this.#services.clock.nowMs();
    if (backend === undefined) pool.wait(this);
    else this.#prepare(backend);
    return 'later';
  }

  /** Nobody waits any more: the acquirer hears nothing of what it asked for. */
  cancel(): void {
    this.#preparing = undefined;
    this.#target?.pool.cancelWait(this);
  }

  /** Where the next backend would be from. @throws AppError SHUTTING_DOWN */
  targetNow(): Target | AppError {
    return targetNow(this.#services, this.#login);
  }

  get meter(): TenantMeter {
    return this.#login.meter;
  }

  /** Whether a BEGIN is answered before there is a backend. @throws AppError SHUTTING_DOWN */
  get beginsLazily(): boolean {
    if (this.#login.pooling === 'session') return false;
    const target = this.targetNow();
    return !(target instanceof AppError) && target.upstream.settings.lazyBegin === 'on';
  }

  #choosePool(): AppError | undefined {
    const target = this.targetNow();
    if (target instanceof AppError) return target;
    this.#target = target;
    return undefined;
  }

  // ---- the pool's answers (Waiter) ----

  granted(backend: PostgresBackend): void {
    const waitedMs = this.#services.clock.nowMs() - this.#waitingSinceMs;
    this.#login.meter.acquired(waitedMs / 1000);
    if (backend.vector.key === this.settings.vector.key) this.#acquirer.acquired(backend);
    else this.#prepare(backend);
  }

  stillWaiting(notice: WaitNotice): void {
    this.#acquirer.stillWaiting(notice);
  }

  refused(error: AppError): void {
    this.#acquirer.refuseBatch(error);
  }

  moved(waitedSinceMs: number): void {
    const failure = this.#choosePool();
    if (failure !== undefined) return this.#acquirer.kill(failure);
    this.#waitingSinceMs = waitedSinceMs;
    this.target.pool.wait(this, waitedSinceMs);
  }

  // ---- the client's parameters ----

  /** Gives the backend this client's parameters; no message is sent under other ones. */
  #prepare(backend: PostgresBackend): void {
    const { pool } = this.target;
    this.#preparing = backend;
    void applyVector(backend, this.settings.vector)
      .then(
        () => 'prepared' as const,
        (error: unknown) => parametersNotSet(error),
      )
      .then((outcome) => this.#prepared(backend, pool, outcome));
  }

  #prepared(
    backend: PostgresBackend,
    pool: Pool<PostgresBackend>,
    outcome: 'prepared' | AppError,
  ): void {
    const isWanted = this.#preparing === backend;
    if (isWanted) this.#preparing = undefined;
    if (outcome !== 'prepared') {
      pool.discard(backend, 'reset_failed');
      if (isWanted) this.#acquirer.kill(outcome);
    } else if (isWanted) this.#acquirer.acquired(backend);
    else pool.release(backend, 'clean');
  }
}
