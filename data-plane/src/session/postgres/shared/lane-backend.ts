/**
 * One server connection that runs batches of many clients, in the order they were appended, and
 * deals its replies out to them.
 * Owns: who is next, cancels aimed at it, a client that takes its result too slowly. Leaves: which
 * batch goes where to lane.ts, what a reply means to lane-replies.ts, the client's side to
 * shared-batch.ts.
 * Source: PostgreSQL manual, "Message Flow", "Canceling Requests in Progress".
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { PostgresBackend, ReplySink } from '../../../upstream/postgres-backend.ts';
import type { CancelOptions, ServerCancels } from '../../../upstream/server-cancels.ts';
import { DROP } from '../../../wire/postgres/frame-scanner.ts';
import type { FrameVerdict, Replacement } from '../../../wire/postgres/frame-scanner.ts';
import { COLLECT_BYTES_MAX } from '../../../wire/postgres/limits.ts';
import { BACKEND } from '../../../wire/postgres/message-types.ts';
import type { BackendStatements } from '../prepared/backend-statements.ts';
import { serverEnded } from '../session-errors.ts';
import { BatchQueue } from './batch-queue.ts';
import { Deliveries } from './deliveries.ts';
import type { FlushSoon } from './flush-soon.ts';
import { LaneReplies, unasked } from './lane-replies.ts';
import type { ResendAllowance } from './resend-allowance.ts';
import { ServerStopwatch } from './server-stopwatch.ts';
import type { ServiceTimes } from './service-times.ts';
import { cancelledReply, giveBack, roundTrip } from './shared-batch.ts';
import type { ReturnReason, SharedBatch } from './shared-batch.ts';

/** A client that has yet to take more than this has the connection for itself. */
const SLOW_READER_BYTES = 256 * 1024;

/**
 * - `serving`: takes batches
 * - `stalled`: its first batch takes too long; takes none until it has none
 * - `resting`: takes none; once it has none, it is its keeper's for a while, or for good
 * - `closed`: of no further use
 */
export type LaneBackendState = 'serving' | 'stalled' | 'resting' | 'closed';

/** `suspect`: to be looked at again as soon as what has come was read. */
export type Look = 'idle' | 'busy' | 'suspect';

/**
 * - `under_way`: it hits what the server runs when it arrives, whoever's that is
 * - `fenced`: it has arrived, and a round trip was begun behind it
 */
type Cancelling = 'none' | 'under_way' | 'fenced';

export interface LaneBackendOptions {
  readonly backend: PostgresBackend;
  /** What is prepared there. */
  readonly statements: BackendStatements;
  readonly clock: Clock;
  readonly times: ServiceTimes;
  readonly flushSoon: FlushSoon;
  readonly cancels: ServerCancels;
  readonly cancelOptions: () => CancelOptions;
  /** A batch was run; to an error, where its client reads one. */
  readonly onFinished: (to: 'result' | 'error') => void;
  /** The connection has ended, or is not to be used any more. */
  readonly onEnd: (why: 'server_gone' | 'suspect_state') => void;
  /** It has less to do than before, or takes batches again. */
  readonly onRoom: (since: 'answers' | 'drained' | 'rested') => void;
}

export class LaneBackend implements ReplySink {
  readonly runs = 'borrowed';
  readonly backend: PostgresBackend;
  readonly statements: BackendStatements;
  readonly #options: LaneBackendOptions;
  readonly #queue = new BatchQueue();
  readonly #replies: LaneReplies;
  #outgoing: Buffer[] = [];
  #state: LaneBackendState = 'serving';
  /** While `resting`: to be called once the last batch is answered. */
  #whenQuiet: (() => void) | undefined;
  /** As long as it is not `none`, no batch is taken. */
  #cancelling: Cancelling = 'none';
  #cancelsInFlight = 0;
  #cancelledMs = 0;
  #isPaused = false;
  /** It took too long at the last look. */
  #suspect: SharedBatch | undefined;
  /** Of the time that the server works without pause; and what it has finished in it. */
  readonly #work: ServerStopwatch;
  readonly #finished: SharedBatch[] = [];
  readonly #deliveries = new Deliveries();

  constructor(options: LaneBackendOptions) {
    this.#options = options;
    this.backend = options.backend;
    this.statements = options.statements;
    this.#work = new ServerStopwatch(options.clock);
    this.#replies = new LaneReplies(options.backend);
    this.backend.attach(this);
  }

  get state(): LaneBackendState {
    return this.#state;
  }

  /** Batches that the server has yet to answer. */
  get depth(): number {
    return this.#queue.depth;
  }

  /** How long the server is expected to work on them, in microseconds. */
  get backlogUs(): number {
    return this.#queue.backlogUs;
  }

  get takesBatches(): boolean {
    const isFree = this.#state === 'serving' && this.#cancelling === 'none' && !this.#isPaused;
    return isFree && !this.backend.socket.writableNeedDrain;
  }

  append(batch: SharedBatch): void {
    assert(this.takesBatches, 'a batch goes to a connection that takes it');
    if (this.#queue.depth === 0) batch.begunMs = this.#work.start();
    this.#queue.push(batch);
    if (this.#outgoing.length === 0) this.#options.flushSoon.add(this);
    this.#outgoing.push(batch.bytes);
  }

  /** Sends what was appended, in one write. */
  flush(): void {
    const outgoing = this.#outgoing;
    if (outgoing.length === 0 || !this.backend.usable) return;
    const [first] = outgoing;
    this.backend.write(outgoing.length === 1 && first ? first : Buffer.concat(outgoing));
    outgoing.length = 0;
  }

  // ---- replies (ReplySink) ----

  needsBody(type: number, bodyLength: number): boolean {
    return type === BACKEND.ErrorResponse && bodyLength <= COLLECT_BYTES_MAX;
  }

  frame(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    // Nobody's: parameters that an operator reloads, notifications of channels nobody listens to.
    if (type === BACKEND.ParameterStatus || type === BACKEND.NotificationResponse) return DROP;
    const { head } = this.#queue;
    if (head === undefined) return unasked(type, buffer, bodyStart, bodyEnd);
    return this.#replies.frame(head, type, buffer, bodyStart, bodyEnd);
  }

  replacement(): Replacement {
    return this.#replies.replacement();
  }

  forward(run: Buffer): void {
    const { head } = this.#queue;
    assert(head !== undefined, 'what is passed on belongs to a batch');
    const { client } = head;
    const bytes =
      this.#replies.returning === undefined && client !== undefined
        ? this.#replies.passOn(head, run)
        : undefined;
    if (bytes !== undefined && client !== undefined) {
      head.relayed = 'some';
      this.#deliveries.add(client, bytes);
    }
    if (this.#replies.ends) this.#finish(head);
  }

  /** Writes what one read has brought. */
  #deliver(): void {
    const pendingBytes = this.#deliveries.make(this.backend);
    // The last one written to is the first in line still, if its reply goes on.
    const isWithin = this.#queue.head?.relayed === 'some';
    if (pendingBytes <= SLOW_READER_BYTES || !isWithin || this.#isPaused) return;
    this.#isPaused = true;
    this.backend.socket.pause();
    this.#returnUnbegun('slow_reader');
  }

  /** The client of the first batch takes bytes again. */
  resume(batch: SharedBatch): void {
    if (this.#queue.head === batch) this.#unpause();
  }

  #unpause(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.backend.socket.resume();
  }

  #finish(head: SharedBatch): void {
    const reason = this.#replies.returning;
    const to = this.#replies.hasError ? 'error' : 'result';
    this.#replies.reset();
    this.#queue.shift();
    this.#finished.push(head);
    // What its client has yet to take is no longer the server's to wait for.
    this.#unpause();
    const { client } = head;
    head.client = undefined;
    this.#options.onFinished(to);
    if (client !== undefined) this.#deliveries.ends(client, head, reason);
  }

  settled(): void {
    this.#learn();
    this.#deliver();
    if (this.#queue.depth === 0) this.#quiet();
    if (this.takesBatches) this.#options.onRoom('answers');
  }

  /** The server has nothing to do. */
  #quiet(): void {
    if (this.#cancelling === 'under_way') return this.#fence();
    if (this.#cancelling === 'fenced') {
      this.#cancelling = 'none';
      this.#replies.strayCancel = false;
    }
    if (this.#state === 'stalled') this.#state = 'serving';
    if (this.#state !== 'resting') return;
    const whenQuiet = this.#whenQuiet;
    this.#whenQuiet = undefined;
    whenQuiet?.();
  }

  /** Replies come in flocks: each has its share of the time since the last one. */
  #learn(): void {
    const finished = this.#finished;
    if (finished.length === 0) return;
    this.#options.times.learnTogether(finished, this.#work.elapsedUs);
    finished.length = 0;
    const nowMs = this.#work.start();
    const { head } = this.#queue;
    if (head !== undefined) head.begunMs = nowMs;
  }

  drained(): void {
    if (this.takesBatches) this.#options.onRoom('drained');
  }

  lost(): void {
    this.#end('server_gone');
  }

  // ---- when it is not to take more ----

  /**
   * Takes no more batches, and calls `whenQuiet` when those under way are answered; then the
   * connection may be spoken to, until `serve`. @returns whether it will
   */
  rest(whenQuiet: () => void): boolean {
    if (this.#state !== 'serving' && this.#state !== 'stalled') return false;
    this.#state = 'resting';
    this.#whenQuiet = whenQuiet;
    // Not from within this call.
    if (this.#queue.depth === 0) queueMicrotask(() => this.#queue.depth === 0 && this.#quiet());
    return true;
  }

  /** Takes batches again after its rest. */
  serve(): void {
    if (this.#state !== 'resting') return;
    if (!this.backend.usable) return this.close();
    this.#state = 'serving';
    this.backend.attach(this);
    this.#options.onRoom('rested');
  }

  /** The connection is another's from now on: it rests. */
  leave(): void {
    assert(this.#queue.depth === 0, 'no batch is under way');
    this.#state = 'closed';
  }

  /** Gives back every batch that the server has not begun; late replies to them are dropped. */
  #returnUnbegun(reason: ReturnReason, allowance?: ResendAllowance): void {
    for (const batch of this.#queue.behindHead()) {
      const { client } = batch;
      if (client === undefined) continue;
      if (allowance?.take() === false) return;
      batch.client = undefined;
      client.returned(reason);
    }
  }

  // ---- time ----

  /**
   * Looks whether the first batch takes longer than its neighbours should wait, or nobody waits for
   * it any more.
   * @returns `suspect`: it seems so, but the proxy itself may not have read the answer yet
   */
  look(nowMs: number, stallMs: number, allowance: ResendAllowance): Look {
    const { head } = this.#queue;
    const suspect = this.#suspect;
    this.#suspect = undefined;
    if (head === undefined) return 'idle';
    const isCancelling = this.#cancelling !== 'none';
    if (isCancelling && nowMs - this.#cancelledMs >= this.#options.cancelOptions().limitMs) {
      this.close();
      return 'idle';
    }
    if (nowMs - head.begunMs < stallMs) return 'busy';
    if (suspect !== head) {
      this.#suspect = head;
      return 'suspect';
    }
    if (this.#state === 'serving') this.#state = 'stalled';
    this.#returnUnbegun('stalled', allowance);
    if (head.client === undefined && !isCancelling) this.#cancelFirst();
    return 'busy';
  }

  // ---- cancels ----

  /**
   * The client of a batch is gone. What the server has not begun costs nothing worth a cancel, nor
   * does what ends by itself soon: `look` cancels the others.
   */
  abandon(batch: SharedBatch): void {
    batch.client = undefined;
    if (this.#queue.head === batch) this.#unpause();
  }

  /**
   * A client wants its batch cancelled. One that the server has not begun is answered here with
   * `error`; the first one is cancelled on the server, and its client reads `explained` for that,
   * or what the server says.
   */
  cancel(batch: SharedBatch, error: AppError, explained: 'by_server' | 'by_proxy'): void {
    if (this.#state === 'closed') return;
    if (this.#queue.head === batch) {
      batch.cancelled = { error, explained };
      return this.#cancelFirst();
    }
    const { client } = batch;
    batch.client = undefined;
    client?.say(cancelledReply(error));
    client?.answered();
  }

  #cancelFirst(): void {
    // A server that has not been sent the batch has nothing to cancel.
    this.flush();
    const { head } = this.#queue;
    this.#cancelling = 'under_way';
    this.#cancelledMs = this.#options.clock.nowMs();
    this.#cancelsInFlight += 1;
    this.#replies.strayCancel = true;
    this.#unpause();
    const { cancels, cancelOptions } = this.#options;
    const isWanted = () => this.#queue.head === head && this.#state !== 'closed';
    void cancels
      .send(this.backend, { ...cancelOptions(), isWanted })
      .finally(() => this.#cancelArrived());
  }

  #cancelArrived(): void {
    this.#cancelsInFlight -= 1;
    if (this.#queue.depth === 0) this.#quiet();
  }

  /** A late signal could hit whatever runs next: that is a Sync of our own. */
  #fence(): void {
    if (this.#cancelsInFlight > 0 || !this.backend.usable) return;
    this.#cancelling = 'fenced';
    const last = roundTrip();
    this.#queue.push(last);
    this.backend.write(last.bytes);
  }

  /** Takes no more batches; those under way are given back or told. Idempotent. */
  close(): void {
    this.#end('suspect_state');
  }

  #end(why: 'server_gone' | 'suspect_state'): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#whenQuiet = undefined;
    this.#deliveries.make(this.backend);
    const within = this.backend.atBoundary ? 'whole_messages' : 'within_a_message';
    const batches = this.#queue.takeAll();
    this.#outgoing.length = 0;
    this.#options.onEnd(why);
    for (const batch of batches) {
      const { client } = batch;
      if (client === undefined) continue;
      batch.client = undefined;
      if (batch.relayed === 'nothing') giveBack(batch, client, 'server_lost');
      else client.failed(serverEnded(undefined), within);
    }
  }
}
