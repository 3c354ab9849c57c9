/**
 * One client after its login: takes a server connection for each transaction (or for good) and
 * gives it back.
 * Owns: the session's state, the order of the client's bytes. Leaves: getting a server connection
 * to acquisition.ts, replies to exclusive-lease.ts, what a statement means to sql/, cancels and the
 * end of a lease to lease-end.ts.
 */
import type { Socket } from 'node:net';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { WaitNotice } from '../../pool/waiter.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import { TRANSACTION_IDLE } from '../../wire/postgres/backend-messages.ts';
import { encodePostgresNotice } from '../client-error.ts';
import type { SessionState, WorkOfKilled } from '../session.ts';
import type { Timed } from '../time-limits.ts';
import { Acquisition } from './acquisition.ts';
import { BatchTimer } from './batch-timer.ts';
import { ClientFrames } from './client-frames.ts';
import { ClientInput } from './client-input.ts';
import { hangUp, listenTo } from './client-socket.ts';
import type { ExclusiveLease } from './exclusive-lease.ts';
import type { LazyBegin } from './lazy-begin/lazy-begin.ts';
import { LeaseEnd } from './lease-end.ts';
import { relayRun } from './relay-run.ts';
import { ClientRequests } from './requests.ts';
import { LoggedInSession } from './logged-in-session.ts';
import type { LoggedIn, SessionServices } from './services.ts';
import type { SessionRoles } from './session-roles.ts';
import { cancelled, serverEnded } from './session-errors.ts';
import type { ClientChannels } from './listening/client-channels.ts';
import { ListenRelay } from './listening/listen-relay.ts';
import { ListeningSession } from './listening/listening-session.ts';
import { ClientSettings } from './state/client-settings.ts';
import { Settling, settlingWork } from './state/settling.ts';
import { ToldParameters } from './state/told-parameters.ts';
import { SessionTiming } from './session-timing.ts';
import { SharedTurn } from './shared/shared-turn.ts';
import type { Relayed } from './shared/shared-batch.ts';
import type { StatementWatch } from './statement-watch.ts';

/** What the client sends meanwhile is kept. */
const WAITING: ReadonlySet<SessionState> = new Set(['waiting', 'shared', 'settling']);

export class PostgresSession extends LoggedInSession implements SessionRoles {
  readonly #socket: Socket;
  readonly #services: SessionServices;
  readonly #input: ClientInput;
  readonly #requests: ClientRequests;
  readonly #frames: ClientFrames;
  readonly #watch: StatementWatch;
  readonly #acquisition: Acquisition;
  readonly #listening: ListenRelay;
  /** Made when first asked for, as #timing is. */
  #turn: SharedTurn | undefined;
  readonly #told: ToldParameters;
  readonly #leaseEnd: LeaseEnd;
  readonly #batches: BatchTimer;
  #state: SessionState = 'idle';
  #lease: ExclusiveLease | undefined;
  /** While `settling`. */
  #settling: Settling | undefined;
  /** Made when its times are first taken. */
  #timing: SessionTiming | undefined;
  /** The client has said Terminate: what it sent before is to run to its end. */
  #terminating = false;
  /** Made with the first BEGIN that is answered without a server. */
  lazy: LazyBegin | undefined;

  constructor(socket: Socket, services: SessionServices, login: LoggedIn) {
    super(login, services);
    this.#socket = socket;
    this.#services = services;
    const { clock, log } = services;
    const settings = new ClientSettings(login.vector, login.applicationNames);
    const acquisition = new Acquisition(this, services, login, settings);
    const listener = new ListeningSession(this, socket, acquisition, login, settings);
    this.#listening = new ListenRelay(listener);
    const requests = new ClientRequests(login, settings, this.#listening);
    this.#told = new ToldParameters(login.reported);
    this.#acquisition = acquisition;
    this.#requests = requests;
    this.#watch = requests.watch;
    this.#frames = new ClientFrames(this, socket, requests, acquisition);
    this.#input = new ClientInput(socket, this.#frames, log);
    this.#leaseEnd = new LeaseEnd(acquisition, services, login, this.#watch, this.#input);
    this.#batches = new BatchTimer(clock, login.meter, services.busyPoll);
    listenTo(socket, this);
  }

  get state(): SessionState {
    return this.#state;
  }

  get lease(): ExclusiveLease | undefined {
    return this.#lease;
  }

  get timed(): Timed {
    return (this.#timing ??= new SessionTiming(this, this.#socket, this.#input, this.#listening));
  }

  get sharedTurns(): number {
    return this.#turn?.count ?? 0;
  }

  get attendant(): ClientChannels | undefined {
    return this.#listening.channels;
  }

  // ---- the client's bytes (SocketOwner) ----

  received(chunk: Buffer): void {
    if (this.#state === 'closed') return;
    if (this.#mayShare && this.#sharedTurn.begin(chunk) === 'begun') {
      this.#state = 'shared';
      return this.#batches.begin();
    }
    if (WAITING.has(this.#state)) this.#input.keep(chunk);
    else this.#scanned(this.#input.scan(chunk));
  }

  get #sharedTurn(): SharedTurn {
    this.#turn ??= new SharedTurn(this, {
      socket: this.#socket,
      clock: this.#services.clock,
      told: this.#told,
      requests: this.#requests,
      acquisition: this.#acquisition,
    });
    return this.#turn;
  }

  get #mayShare(): boolean {
    const isFree = this.#state === 'idle' && this.ending === undefined;
    return isFree && this.login.pooling !== 'session' && this.#input.isEmpty;
  }

  #scanned(ended: AppError | undefined): void {
    this.#lease?.backend.flush();
    if (ended !== undefined) return this.kill(ended);
    if (this.#terminating) return this.#close();
    this.#lease?.sendLocalReplies();
  }

  #scanKept(): void {
    this.#scanned(this.#input.scan());
    const serverTakes = this.#lease?.backend.socket.writableNeedDrain !== true;
    if (serverTakes && !this.#input.isFull) this.#socket.resume();
  }

  // ---- its messages (FramesHost) ----

  get isRestoring(): boolean {
    return !this.#watch.lost.isEmpty;
  }

  obtain(): ExclusiveLease | undefined {
    const obtained = this.#acquisition.begin();
    if (obtained === 'later') this.#state = 'waiting';
    else if (obtained instanceof AppError) this.kill(obtained);
    else this.#own(obtained);
    return this.#lease;
  }

  batchBegins(): void {
    this.#batches.begin();
  }

  moved(state: 'idle' | 'begun' | 'failed' | 'skipping'): void {
    this.#state = state;
    if (state !== 'idle') return;
    if (this.ending !== undefined) return this.kill(this.ending);
    this.#listening.quiet();
  }

  terminates(): void {
    this.#terminating = true;
  }

  // ---- a batch that is shared (TurnHost) ----

  turnEnded(): void {
    this.#batches.end();
    if (this.state === 'closed') return;
    this.moved('idle');
    if (this.#input.hasKept) this.#scanKept();
  }

  turnReturned(bytes: Buffer): void {
    if (this.state === 'closed') return;
    this.#state = 'idle';
    this.#input.keepFirst(bytes);
    this.#scanKept();
  }

  turnFailed(error: AppError, relayed: Relayed): void {
    if (relayed === 'whole_messages') this.kill(error);
    else this.#close();
  }

  // ---- a server connection (Acquirer) ----

  /** What has waited is sent in one write. */
  acquired(backend: PostgresBackend): void {
    this.#own(backend);
    backend.socket.cork();
    this.#scanKept();
    backend.socket.uncork();
  }

  stillWaiting(notice: WaitNotice): void {
    this.#socket.write(encodePostgresNotice(notice));
  }

  /** Answers the batch that waits with an error and goes on behind it, as a server would. */
  refuseBatch(error: AppError): void {
    // A client that was told its transaction is open cannot be told that it is not.
    if (this.lazy?.isUnderWay && error.code !== 'CANCELLED') return this.kill(error);
    this.#state = 'skipping';
    this.#frames.refuse();
    this.#socket.write(this.worded(error, 'ERROR'));
    this.#scanKept();
  }

  #own(backend: PostgresBackend): void {
    const { target } = this.#acquisition;
    this.#watch.leaseBegan(backend, target);
    this.#listening.leaseBegan(target.exchange);
    // The client of a session has its backend for good.
    if (this.login.pooling === 'session') void target.exchange.speak(backend, this.processId);
    this.#lease = this.#services.leases.begin(backend, this);
    this.#state = 'leased';
    this.#turn?.runsAlone();
    this.#told.tell(this.#socket, backend);
  }

  // ---- LISTEN and notifications ----

  /** A message that was held may be sent, or cannot be. */
  resumeInput(): void {
    if (this.state !== 'idle' && this.state !== 'leased') return;
    const refusal = this.state === 'idle' ? this.#listening.takeRefusal() : undefined;
    if (refusal === undefined) this.#scanKept();
    else this.refuseBatch(refusal);
  }

  drained(): void {
    this.#lease?.backend.socket.resume();
    this.#listening.channels?.flush();
    this.#turn?.clientDrained();
  }

  // ---- the server's side (LeaseOwner) ----

  toClient(run: Buffer): void {
    const backend = this.#lease?.backend;
    if (backend === undefined) this.#socket.write(run);
    else if (!relayRun(run, backend, this.#socket)) backend.socket.pause();
  }

  /** A message may have been held until earlier ones were answered. */
  serverAnswered(): void {
    if (this.#input.hasKept && this.state === 'leased') this.#scanKept();
  }

  ownStatementName(shared: string): string | undefined {
    return this.#requests.ownStatementName(shared);
  }

  serverFailed(): void {
    this.#watch.failed();
    if (this.#lease !== undefined) this.lazy?.serverFailed(this.#lease);
  }

  hidesParameter(name: string): boolean {
    return this.#watch.lost.has(name.toLowerCase());
  }

  serverDrained(): void {
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  serverQuiet(): void {
    const lease = this.#lease;
    if (lease === undefined) return;
    if (this.#socket.isPaused() && !lease.backend.socket.writableNeedDrain) this.#socket.resume();
    this.#batches.end();
    this.#turn?.ranAlone();
    if (lease.opening === 'failed') return this.#beginFailed(lease);
    this.#listening.quiet();
    this.#watch.quiet();
    const isBetween = lease.backend.transactionStatus === TRANSACTION_IDLE;
    if (isBetween && this.ending && !this.lazy?.isUnderWay) return this.kill(this.ending);
    if (isBetween) this.#watch.parametersChanged(lease.takeChangedParameters());
    if (!this.#watch.isSettled && this.#settle(lease)) return;
    if (isBetween && !this.#watch.keepsBackend && this.#input.atBoundary) this.#release(lease);
    // A batch that waited for something to be restored, in vain.
    else if (this.#input.hasKept) this.#scanKept();
  }

  /** The server is as before, nothing has run; to the client its transaction has failed. */
  #beginFailed(lease: ExclusiveLease): void {
    this.#watch.leaseBegan(lease.backend, this.#acquisition.target);
    this.#release(lease);
    if (this.#input.hasKept) this.#scanKept();
  }

  /** @returns whether the proxy has something to say to the backend first */
  #settle(lease: ExclusiveLease): boolean {
    const work = settlingWork(this.#watch, lease.backend.transactionStatus);
    if (work === undefined) return false;
    if (this.#watch.lost.isEmpty) this.#told.heard(lease.backend);
    this.#state = 'settling';
    this.#settling = new Settling(this, this.#services.leases, this.#acquisition.target.pool);
    this.#settling.run(lease, work);
    return true;
  }

  settled(lease: ExclusiveLease): void {
    this.#state = 'leased';
    this.#told.tell(this.#socket, lease.backend);
    this.serverQuiet();
    if (this.#input.hasKept) this.#scanKept();
  }

  settlingFailed(error: AppError): void {
    this.#lease = undefined;
    this.kill(error);
  }

  serverLost(told: 'told' | 'untold', error: Error | undefined): void {
    const { backend } = this.#lease as ExclusiveLease;
    this.#lease = undefined;
    this.#acquisition.target.pool.discard(backend, 'server_gone');
    if (told === 'told' || !backend.atBoundary) return this.#close();
    this.kill(serverEnded(error));
  }

  #release(lease: ExclusiveLease): void {
    this.#told.heard(lease.backend);
    this.#lease = undefined;
    this.#state = this.lazy?.stateWithout(lease) ?? 'idle';
    this.#listening.leaseEnded(lease.backend);
    this.#leaseEnd.release(lease);
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  // ---- cancels and the end ----

  /** The statement under way is to end; the client reads `reason` for it, if there is one. */
  cancel(reason?: AppError): void {
    if (this.#listening.cancel(reason ?? cancelled())) return;
    if (this.state === 'waiting') {
      this.#acquisition.cancel();
      return this.refuseBatch(cancelled());
    }
    if (this.state === 'shared') return this.#turn?.cancel(reason);
    if (this.#lease !== undefined) this.#leaseEnd.cancel(this.#lease, reason);
  }

  get isBusy(): boolean {
    const waits = this.state === 'waiting' || this.state === 'shared';
    return waits || this.lazy?.isUnderWay === true || this.#lease?.isBetween === false;
  }

  kill(error: AppError, work: WorkOfKilled = 'let_finish'): void {
    if (this.state === 'closed') return;
    // Within a message of the server the client would take it for a part of that.
    const isBetween =
      this.#lease?.backend.atBoundary !== false && this.#turn?.isWithinMessage !== true;
    if (isBetween) this.#socket.write(this.worded(error, 'FATAL'));
    this.#close(work);
  }

  left(): void {
    this.#close();
  }

  #close(work: WorkOfKilled = 'let_finish'): void {
    if (this.state === 'closed') return;
    const before = this.state;
    const lease = this.#lease;
    this.#state = 'closed';
    this.#lease = undefined;
    this.#input.drop();
    this.#batches.abandon();
    this.#requests.end();
    this.#listening.end();
    this.leaves(this.#services);
    if (before === 'shared') this.#turn?.leave();
    if (before === 'waiting') this.#acquisition.cancel();
    if (before === 'settling') this.#settling?.abandon();
    else if (lease !== undefined) {
      this.#leaseEnd.abandon(lease, work, this.#terminating ? 'terminated' : 'gone');
    }
    hangUp(this.#socket, this.#terminating ? 'has_left' : 'listens');
  }
}
