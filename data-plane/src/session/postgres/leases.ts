/**
 * Begins and ends exclusive leases; keeps one lease object for each backend, so that a transaction
 * allocates nothing.
 */
import type { Pool } from '../../pool/pool.ts';
import { idleSink } from '../../upstream/idle-sink.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import type { CancelOptions, ServerCancels } from '../../upstream/server-cancels.ts';
import { ExclusiveLease } from './exclusive-lease.ts';
import type { LeaseOwner } from './exclusive-lease.ts';
import type { BackendStatements } from './prepared/backend-statements.ts';

export type LeaseCondition = 'clean' | 'dirty';

export class Leases {
  readonly #byBackend = new WeakMap<PostgresBackend, ExclusiveLease>();
  readonly #cancels: ServerCancels;

  constructor(cancels: ServerCancels) {
    this.#cancels = cancels;
  }

  begin(backend: PostgresBackend, owner: LeaseOwner): ExclusiveLease {
    const lease = this.#of(backend);
    lease.begin(owner);
    return lease;
  }

  /** What is prepared on a connection, whoever uses it. */
  statementsOn(backend: PostgresBackend): BackendStatements {
    return this.#of(backend).statements;
  }

  #of(backend: PostgresBackend): ExclusiveLease {
    let lease = this.#byBackend.get(backend);
    if (lease === undefined) {
      lease = new ExclusiveLease(backend);
      this.#byBackend.set(backend, lease);
    }
    return lease;
  }

  /**
   * Has the server cancel what the lease waits for; nobody else gets its backend before.
   * @param explanation what the client reads in place of the server's "due to user request"
   */
  cancel(lease: ExclusiveLease, options: CancelOptions, explanation?: Buffer): void {
    const isWanted = () => !lease.outstanding.quiet;
    lease.trackCancel(this.#cancels.send(lease.backend, { ...options, isWanted }), explanation);
  }

  /**
   * Gives a quiet lease's backend back. The next client may be served before this returns: call it
   * last. A backend whose replies cannot be counted any more is closed; one that a cancel was aimed
   * at makes a full round trip (its reset), after which a late signal cannot hit another client's
   * statement.
   */
  end(lease: ExclusiveLease, pool: Pool<PostgresBackend>, condition: LeaseCondition): void {
    const { backend } = lease;
    backend.attach(idleSink);
    backend.socket.resume();
    if (lease.outstanding.uncertain) return pool.discard(backend, 'suspect_state');
    const left = lease.cancelled ? 'dirty' : condition;
    // DISCARD ALL takes the statements too.
    if (left === 'dirty') lease.statements.clear();
    else if (backend.leaks.takesNext()) return void inspect(lease, pool);
    pool.release(backend, left);
  }
}

/** Gives back a backend that counts as clean once it was looked at. */
async function inspect(
  { backend, statements }: ExclusiveLease,
  pool: Pool<PostgresBackend>,
): Promise<void> {
  try {
    const found = await backend.leaks.inspect(backend, statements.names);
    if (found !== 'clean') statements.clear();
    pool.release(backend, found === 'clean' ? 'clean' : 'dirty');
  } catch {
    // The connection was lost, and its pool is told why by the connection itself.
    pool.discard(backend, 'server_gone');
  }
}
