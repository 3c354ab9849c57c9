/**
 * How one client's hold on a server connection ends, other than by the server: given back, its
 * statement cancelled, or left in the middle.
 * Leaves: when to the session, what is left in the middle to orphan.ts.
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { CancelOptions } from '../../upstream/server-cancels.ts';
import { encodePostgresError } from '../client-error.ts';
import type { WorkOfKilled } from '../session.ts';
import type { Acquisition } from './acquisition.ts';
import type { ClientInput } from './client-input.ts';
import type { ExclusiveLease } from './exclusive-lease.ts';
import { orphan } from './orphan.ts';
import type { LoggedIn, SessionServices } from './services.ts';
import type { StatementWatch } from './statement-watch.ts';

export class LeaseEnd {
  readonly #acquisition: Acquisition;
  readonly #services: SessionServices;
  readonly #login: LoggedIn;
  readonly #watch: StatementWatch;
  readonly #input: ClientInput;

  constructor(
    acquisition: Acquisition,
    services: SessionServices,
    login: LoggedIn,
    watch: StatementWatch,
    input: ClientInput,
  ) {
    this.#acquisition = acquisition;
    this.#services = services;
    this.#login = login;
    this.#watch = watch;
    this.#input = input;
  }

  /** The next client may be served before this returns: call it last. */
  release(lease: ExclusiveLease): void {
    const { pool } = this.#acquisition.target;
    this.#services.leases.end(lease, pool, this.#watch.leaseEnded());
  }

  /** The statement under way is to end; the client reads `reason` for it, if there is one. */
  cancel(lease: ExclusiveLease, reason: AppError | undefined): void {
    if (lease.outstanding.quiet) return;
    const explanation = reason && encodePostgresError(reason, 'ERROR');
    this.#services.leases.cancel(lease, this.#cancelOptions, explanation);
  }

  /**
   * The client is gone. `parting`: it has said Terminate, and what it sent before is to run to its
   * end.
   */
  abandon(lease: ExclusiveLease, work: WorkOfKilled, parting: 'terminated' | 'gone'): void {
    const { pool } = this.#acquisition.target;
    if (work === 'close') return pool.discard(lease.backend, 'suspect_state');
    orphan(lease, {
      pool,
      clock: this.#services.clock,
      leases: this.#services.leases,
      meter: this.#login.meter,
      condition: this.#watch.leaseEnded(),
      autocommit: work,
      statement: parting === 'terminated' || this.#watch.committing ? 'let_finish' : 'cancel',
      cancelOptions: this.#cancelOptions,
      message: this.#input.atBoundary ? 'whole' : 'partial',
    });
  }

  get #cancelOptions(): CancelOptions {
    const { cancelWaitTimeoutMs } = this.#acquisition.target.upstream.settings;
    return { tenantKey: this.#login.tenantKey, limitMs: cancelWaitTimeoutMs };
  }
}
