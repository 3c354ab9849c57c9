/**
 * One client after its login: takes a server connection for each transaction (or for good) and
 * gives it back.
 * Owns: the session's state, the order of the client's bytes, refusals of a batch. Leaves: replies
 * to exclusive-lease.ts, what a statement means to sql/, the end of a client in mid-statement to
 * orphan.ts.
 */
import type { Socket } from 'node:net';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Pool, Waiter } from '../../pool/pool.ts';
import { applyVector } from '../../upstream/apply-vector.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import { sendCancel } from '../../upstream/send-cancel.ts';
import { encodeReadyForQuery, TRANSACTION_IDLE } from '../../wire/postgres/backend-messages.ts';
import { DROP, HOLD } from '../../wire/postgres/frame-scanner.ts';
import type { FrameHandler, FrameVerdict, Replacement } from '../../wire/postgres/frame-scanner.ts';
import { FRONTEND } from '../../wire/postgres/message-types.ts';
import { WireError } from '../../wire/wire-error.ts';
import { encodePostgresError } from '../client-error.ts';
import type { Session, SessionState } from '../session.ts';
import { ClientInput } from './client-input.ts';
import type { ExclusiveLease, LeaseOwner } from './exclusive-lease.ts';
import { orphan } from './orphan.ts';
import { requestKind } from './outstanding.ts';
import { ClientRequests } from './requests.ts';
import { databaseNow } from './services.ts';
import type { LoggedIn, SessionServices } from './services.ts';
import {
  cancelled,
  databaseGone,
  parametersNotSet,
  serverEnded,
  tenantRemoved,
} from './session-errors.ts';
import type { StatementWatch } from './statement-watch.ts';

/** Requests without a reply at which a client is paused; servers flush replies long before. */
const OUTSTANDING_MAX = 65_536;

const readyIdle = encodeReadyForQuery(TRANSACTION_IDLE);

export class PostgresSession implements Session, FrameHandler, LeaseOwner, Waiter<PostgresBackend> {
  readonly #socket: Socket;
  readonly #services: SessionServices;
  readonly #login: LoggedIn;
  readonly #input: ClientInput;
  readonly #requests: ClientRequests;
  readonly #watch: StatementWatch;
  #state: SessionState = 'idle';
  #pool: Pool<PostgresBackend> | undefined;
  #lease: ExclusiveLease | undefined;
  /** A backend that is given this client's parameters before it may be used. */
  #preparing: PostgresBackend | undefined;
  #waitingSinceMs = 0;
  /** When the batch under way began; undefined between batches. */
  #batchSinceMs: number | undefined;
  /** While `skipping`: whether the batch ends with a Sync, or its first message tells. */
  #skipTo: 'first_message' | 'sync' = 'sync';
  /** The client has said Terminate: what it sent before is to run to its end. */
  #terminating = false;
  /** Set when the session is to end as soon as it is between transactions. */
  #ending: AppError | undefined;

  constructor(socket: Socket, services: SessionServices, login: LoggedIn) {
    this.#socket = socket;
    this.#services = services;
    this.#login = login;
    this.#requests = new ClientRequests({ ...login, vectorKey: login.vector.key });
    this.#watch = this.#requests.watch;
    this.#input = new ClientInput(socket, this, services.log);
    socket.on('data', (chunk: Buffer) => this.#received(chunk));
    socket.on('drain', () => this.#lease?.backend.socket.resume());
    socket.on('end', () => this.#close());
    socket.on('error', () => this.#close());
    socket.on('close', () => this.#close());
  }

  get state(): SessionState {
    return this.#state;
  }

  get tenantKey(): string {
    return this.#login.tenantKey;
  }

  /** Handles what the client had sent behind its login. */
  start(rest: Buffer): void {
    if (rest.length > 0) this.#received(rest);
  }

  // ---- the client's bytes ----

  #received(chunk: Buffer): void {
    if (this.#state === 'closed') return;
    if (this.#state === 'waiting') this.#input.keep(chunk);
    else this.#scanned(this.#input.scan(chunk));
  }

  #scanned(ended: AppError | undefined): void {
    if (ended !== undefined) return this.#fatal(ended);
    if (this.#terminating) return this.#close();
    this.#lease?.sendLocalReplies();
  }

  #scanKept(): void {
    this.#scanned(this.#input.scan());
    const serverTakes = this.#lease?.backend.socket.writableNeedDrain !== true;
    if (serverTakes && !this.#input.isFull) this.#socket.resume();
  }

  needsBody(type: number, bodyLength: number): boolean {
    return this.#requests.needsBody(type, bodyLength);
  }

  replacement(): Replacement {
    return this.#requests.replacement();
  }

  frame(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    if (type === FRONTEND.Terminate) {
      // The frames before it have yet to be passed on: the end comes after the scan.
      this.#terminating = true;
      return HOLD;
    }
    switch (this.#state) {
      case 'leased':
        return this.#request(type, buffer, bodyStart, bodyEnd);
      case 'idle':
        return this.#begin(type, buffer, bodyStart, bodyEnd);
      case 'skipping':
        return this.#skip(type);
      case 'waiting':
      case 'closed':
      case 'login':
        return HOLD;
      default:
        return unreachable(this.#state);
    }
  }

  /** Relays one message of a client that owns a server connection. */
  #request(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    const lease = this.#lease as ExclusiveLease;
    const { outstanding } = lease;
    if (outstanding.quiet) this.#batchSinceMs = this.#services.clock.nowMs();
    if (outstanding.length > OUTSTANDING_MAX) this.#socket.pause();
    return this.#requests.request(type, buffer, bodyStart, bodyEnd, lease);
  }

  /**
   * The first message outside a transaction: most need a server connection, some are answered here.
   */
  #begin(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    switch (type) {
      case FRONTEND.Sync:
        this.#socket.write(readyIdle);
        return DROP;
      case FRONTEND.Flush:
      // The rest of a COPY that the server has given up; it would drop it too.
      case FRONTEND.CopyData:
      case FRONTEND.CopyDone:
      case FRONTEND.CopyFail:
        return DROP;
      default:
        break;
    }
    if (requestKind(type) === 0) throw notAllowedNow(type);
    this.#acquire();
    return this.state === 'leased' ? this.#request(type, buffer, bodyStart, bodyEnd) : HOLD;
  }

  #skip(type: number): FrameVerdict {
    const endsBatch =
      type === FRONTEND.Sync ||
      (this.#skipTo === 'first_message' &&
        (type === FRONTEND.Query || type === FRONTEND.FunctionCall));
    this.#skipTo = 'sync';
    if (endsBatch) {
      this.#state = 'idle';
      this.#socket.write(readyIdle);
    }
    return DROP;
  }

  forward(run: Buffer): void {
    const lease = this.#lease;
    if (lease === undefined) return;
    if (!lease.backend.write(run)) this.#socket.pause();
  }

  // ---- getting a server connection ----

  #acquire(sinceMs?: number): void {
    const tenant = this.#services.router.current.byKey(this.#login.tenantKey);
    if (tenant === undefined) return this.#fatal(tenantRemoved(this.#login.tenant));
    const database = databaseNow(tenant, this.#login);
    if (database === undefined) return this.#fatal(databaseGone(tenant.id, this.#login.database));
    const { pool, catalog } = this.#services.targets.of(tenant, database);
    this.#pool = pool;
    this.#watch.leaseBegan(catalog);
    const backend = sinceMs === undefined ? pool.take() : undefined;
    if (backend !== undefined && backend.vector.key === this.#login.vector.key) {
      this.#login.meter.acquired(0);
      return this.#own(backend);
    }
    this.#state = 'waiting';
    this.#waitingSinceMs = sinceMs ?? this.#services.clock.nowMs();
    if (backend === undefined) pool.wait(this, sinceMs);
    else this.#prepare(backend);
  }

  granted(backend: PostgresBackend): void {
    const waitedMs = this.#services.clock.nowMs() - this.#waitingSinceMs;
    this.#login.meter.acquired(waitedMs / 1000);
    if (backend.vector.key === this.#login.vector.key) return this.#use(backend);
    this.#prepare(backend);
  }

  refused(error: AppError): void {
    this.#refuseBatch(error);
  }

  moved(waitedSinceMs: number): void {
    this.#acquire(waitedSinceMs);
  }

  /** Gives the backend this client's parameters; no message is sent under other ones. */
  #prepare(backend: PostgresBackend): void {
    const pool = this.#pool as Pool<PostgresBackend>;
    this.#preparing = backend;
    void applyVector(backend, this.#login.vector)
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
    if (outcome !== 'prepared') {
      pool.discard(backend, 'reset_failed');
      if (isWanted) this.#fatal(outcome);
    } else if (isWanted) this.#use(backend);
    else pool.release(backend, 'clean');
  }

  #own(backend: PostgresBackend): void {
    this.#preparing = undefined;
    this.#lease = this.#services.leases.begin(backend, this);
    this.#state = 'leased';
  }

  /** Owns the backend and sends it what has waited, in one write. */
  #use(backend: PostgresBackend): void {
    this.#own(backend);
    backend.socket.cork();
    this.#scanKept();
    backend.socket.uncork();
  }

  // ---- the server's side (LeaseOwner) ----

  toClient(run: Buffer): void {
    if (!this.#socket.write(run)) this.#lease?.backend.socket.pause();
  }

  /** A message may have been held until earlier ones were answered. */
  serverAnswered(): void {
    if (this.#input.hasKept && this.state === 'leased') this.#scanKept();
  }

  ownStatementName(shared: string): string | undefined {
    return this.#requests.ownStatementName(shared);
  }

  serverDrained(): void {
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  serverQuiet(): void {
    const lease = this.#lease;
    if (lease === undefined) return;
    if (this.#socket.isPaused() && !lease.backend.socket.writableNeedDrain) this.#socket.resume();
    this.#endBatch();
    if (lease.backend.transactionStatus !== TRANSACTION_IDLE) return;
    if (this.#ending !== undefined) return this.#fatal(this.#ending);
    if (lease.parametersChanged) this.#watch.parametersChanged();
    if (this.#watch.keepsBackend || !this.#input.atBoundary) return;
    this.#release(lease);
  }

  #endBatch(): void {
    if (this.#batchSinceMs === undefined) return;
    const seconds = (this.#services.clock.nowMs() - this.#batchSinceMs) / 1000;
    this.#batchSinceMs = undefined;
    this.#login.meter.queryFinished(seconds);
  }

  serverLost(told: 'told' | 'untold', error: Error | undefined): void {
    const { backend } = this.#lease as ExclusiveLease;
    this.#lease = undefined;
    (this.#pool as Pool<PostgresBackend>).discard(backend, 'server_gone');
    if (told === 'told') return this.#close();
    this.#fatal(serverEnded(error));
  }

  #release(lease: ExclusiveLease): void {
    const pool = this.#pool as Pool<PostgresBackend>;
    this.#lease = undefined;
    this.#state = 'idle';
    this.#services.leases.end(lease, pool, this.#watch.leaseEnded());
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  // ---- refusals and the end ----

  /** Answers the batch that waits with an error and goes on behind it, as a server would. */
  #refuseBatch(error: AppError): void {
    this.#preparing = undefined;
    this.#state = 'skipping';
    this.#skipTo = 'first_message';
    this.#socket.write(encodePostgresError(error, 'ERROR'));
    this.#scanKept();
  }

  /** A cancel request for this session has arrived. */
  cancel(): void {
    if (this.state === 'waiting') {
      this.#pool?.cancelWait(this);
      return this.#refuseBatch(cancelled());
    }
    const lease = this.#lease;
    if (lease === undefined || lease.outstanding.quiet) return;
    lease.trackCancel(sendCancel(lease.backend));
  }

  endWhenIdle(error: AppError): void {
    if (this.state === 'closed') return;
    const lease = this.#lease;
    const busy =
      this.state === 'waiting' ||
      (lease !== undefined &&
        (!lease.quiet || lease.backend.transactionStatus !== TRANSACTION_IDLE));
    if (busy) this.#ending = error;
    else this.#fatal(error);
  }

  kill(error: AppError): void {
    this.#fatal(error);
  }

  #fatal(error: AppError): void {
    if (this.state === 'closed') return;
    this.#socket.write(encodePostgresError(error, 'FATAL'));
    this.#close();
  }

  #close(): void {
    if (this.state === 'closed') return;
    const before = this.state;
    const lease = this.#lease;
    this.#state = 'closed';
    this.#lease = undefined;
    this.#preparing = undefined;
    this.#input.drop();
    this.#requests.end();
    this.#services.registry.delete(this);
    this.#services.cancels.forget(this.#login.cancelKey);
    if (before === 'waiting') this.#pool?.cancelWait(this);
    if (lease !== undefined) this.#abandon(lease);
    if (!this.#socket.destroyed) this.#socket.end();
  }

  #abandon(lease: ExclusiveLease): void {
    const pool = this.#pool as Pool<PostgresBackend>;
    orphan(lease, {
      pool,
      clock: this.#services.clock,
      leases: this.#services.leases,
      meter: this.#login.meter,
      condition: this.#watch.leaseEnded(),
      statement: this.#terminating || this.#watch.committing ? 'let_finish' : 'cancel',
      message: this.#input.atBoundary ? 'whole' : 'partial',
    });
  }
}

function notAllowedNow(type: number): WireError {
  return new WireError(`message "${String.fromCharCode(type)}" is not allowed at this point`);
}
