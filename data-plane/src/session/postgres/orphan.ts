/**
 * A server connection whose client has gone in the middle of something: brought to rest, then given
 * back or closed. An open transaction is cancelled and rolled back; a statement in autocommit runs
 * to its end, bounded in time.
 * Source: PostgreSQL manual, "COPY Operations", "Canceling Requests in Progress".
 */
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Pool } from '../../pool/pool.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import type { CancelOptions } from '../../upstream/server-cancels.ts';
import { encodeCopyFail, encodeSync } from '../../wire/postgres/frontend-messages.ts';
import type { TenantMeter } from '../meter.ts';
import type { ExclusiveLease, LeaseOwner } from './exclusive-lease.ts';
import type { LeaseCondition, Leases } from './leases.ts';
import { COPY_END, SYNC } from './outstanding.ts';

/** How long a statement in autocommit may go on without its client. */
const AUTOCOMMIT_TIMEOUT_MS = 60_000;

export interface OrphanContext {
  readonly pool: Pool<PostgresBackend>;
  readonly leases: Leases;
  readonly clock: Clock;
  readonly meter: TenantMeter;
  readonly condition: LeaseCondition;
  /** Its limit: how long the server may take to answer a cancel and end the statement. */
  readonly cancelOptions: CancelOptions;
  /**
   * Whether a statement under way inside a transaction is worth its end: a COMMIT, or the client
   * said Terminate.
   */
  readonly statement: 'let_finish' | 'cancel';
  /** The same for one outside a transaction. */
  readonly autocommit: 'let_finish' | 'cancel';
  /** The client left within a message of which the server has seen the beginning. */
  readonly message: 'whole' | 'partial';
}

/** Takes over the lease of a client that is gone. */
export function orphan(lease: ExclusiveLease, context: OrphanContext): void {
  const { backend } = lease;
  const { inTransaction } = lease;
  if (context.message === 'partial') {
    context.meter.dirtyDisconnect();
    return context.pool.discard(backend, 'client_gone');
  }
  if (lease.quiet) {
    if (inTransaction) context.meter.dirtyDisconnect();
    // The reset rolls an open transaction back.
    return context.leases.end(lease, context.pool, inTransaction ? 'dirty' : context.condition);
  }
  context.meter.dirtyDisconnect();
  new Orphan(lease, context).begin(inTransaction ? context.statement : context.autocommit);
}

class Orphan implements LeaseOwner {
  readonly pooling = 'transaction';
  readonly processId = 0;
  readonly attendant = undefined;
  readonly #lease: ExclusiveLease;
  readonly #context: OrphanContext;
  #deadline: Timer | undefined;

  constructor(lease: ExclusiveLease, context: OrphanContext) {
    this.#lease = lease;
    this.#context = context;
  }

  begin(way: 'cancel' | 'let_finish'): void {
    const { backend } = this.#lease;
    this.#lease.adopt(this);
    backend.socket.resume();
    const { clock, leases, cancelOptions } = this.#context;
    const limitMs = way === 'cancel' ? cancelOptions.limitMs : AUTOCOMMIT_TIMEOUT_MS;
    this.#deadline = clock.after(limitMs, () => this.#giveUp());
    this.serverAnswered();
    if (way === 'cancel') leases.cancel(this.#lease, cancelOptions);
  }

  #giveUp(): void {
    this.#deadline = undefined;
    this.#context.pool.discard(this.#lease.backend, 'client_gone');
  }

  toClient(): void {}
  /**
   * A COPY, which may begin only now, a batch without its Sync, or one that failed before a Query
   * the client took for its end: nobody else ends it.
   */
  serverAnswered(): void {
    const { backend, outstanding } = this.#lease;
    if (!backend.usable) return;
    if (outstanding.inCopyIn) {
      backend.write(encodeCopyFail('the client is gone'));
      outstanding.sent(COPY_END);
    }
    if (!outstanding.needsSync) return;
    backend.write(encodeSync());
    outstanding.sent(SYNC);
  }

  ownStatementName(): undefined {}
  serverFailed(): void {}
  hidesParameter(): false {
    return false;
  }
  serverDrained(): void {}

  serverQuiet(): void {
    if (this.#deadline === undefined) return;
    this.#deadline.cancel();
    this.#deadline = undefined;
    this.#context.leases.end(this.#lease, this.#context.pool, 'dirty');
  }

  serverLost(): void {
    this.#deadline?.cancel();
    this.#deadline = undefined;
    this.#context.pool.discard(this.#lease.backend, 'server_gone');
  }
}
