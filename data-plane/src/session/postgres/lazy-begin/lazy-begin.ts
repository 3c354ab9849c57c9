/**
 * The transaction a client is in that no server knows of: its BEGIN was answered here, and is sent
 * in front of the first statement that needs a server. Until then the client holds no server
 * connection, and an end with nothing between is answered here too.
 * Only a BEGIN after which the client waits is answered here: what comes behind it in one write
 * would have to wait for the outcome of the BEGIN, and gains nothing.
 * Owns: that transaction, and what became of its BEGIN. Leaves: recognising batches to
 * local-batch.ts, a transaction that has failed to failed-transaction.ts, the session's state to
 * its host.
 * Source: PostgreSQL manual, "Extended Query" and "Pipelining" in Message Flow.
 */
import type { Socket } from 'node:net';
import {
  FRONTEND,
  TRANSACTION_IDLE,
  TRANSACTION_OPEN,
} from '../../../wire/postgres/message-types.ts';
import { encodeSync } from '../../../wire/postgres/frontend-messages.ts';
import type { TenantMeter } from '../../meter.ts';
import { answerBetweenBatches } from '../between-batches.ts';
import type { Attendant, ExclusiveLease } from '../exclusive-lease.ts';
import { BIND, CLOSE, EXECUTE, PARSE, SYNC } from '../outstanding.ts';
import type { Consequence, RequestKind } from '../outstanding.ts';
import type { ClientRequests } from '../requests.ts';
import { FailedTransaction, statusAfter } from './failed-transaction.ts';
import type { Chain, LocalAnswer } from './failed-transaction.ts';
import { mayBegin, readLocalBatch } from './local-batch.ts';
import type { LocalBatch, LocalMessage, LocalTexts } from './local-batch.ts';
import { localReplies, READY } from './local-replies.ts';
import { beginTag, endTag } from './local-text.ts';
import type { BeginTag, EndTag } from './local-text.ts';
import { openingOf } from './opening.ts';
import type { Opening } from './opening.ts';

/** The session. */
export interface LazyHost {
  readonly attendant: Attendant | undefined;
  /** Made with the first BEGIN that is answered without a server. */
  lazy: LazyBegin | undefined;
  /**
   * The client is between transactions; in one that no server knows of, or in one of those that has
   * failed; or its batch was refused, and is skipped.
   */
  moved(state: 'idle' | 'begun' | 'failed' | 'skipping'): void;
}

/** A BEGIN that can be answered, with the message that it begins with. */
interface Begin {
  readonly batch: LocalBatch;
  readonly tag: BeginTag;
  readonly message: LocalMessage;
}

/** The BEGIN that `message` is, or begins, between transactions; undefined for anything else. */
export function readBegin(message: LocalMessage, texts: LocalTexts): Begin | undefined {
  if (!mayBegin(message)) return undefined;
  const batch = readLocalBatch('begin', message, texts);
  if (batch === undefined || batch.end !== message.buffer.length) return undefined;
  const tag = beginTag(batch.sql, batch.effects);
  return tag && { batch, tag, message };
}

const OPENING: readonly RequestKind[] = [PARSE, BIND, EXECUTE];
const OPENING_CLOSING: readonly RequestKind[] = [...OPENING, CLOSE];

/** Below 0, so that none is a mark of a server connection. */
let lastMark = 0;

export class LazyBegin {
  readonly #host: LazyHost;
  readonly #socket: Socket;
  readonly #requests: ClientRequests;
  readonly #meter: TenantMeter;
  /** Of the transaction under way, as long as no server has begun it. */
  #opening: Opening | undefined;
  /** How the client's BEGIN came. */
  #cameAs: 'query' | 'extended' = 'query';
  /** Messages to come of a batch that is answered. */
  #answered = 0;
  /** Set while a BEGIN is sent and not answered. */
  #lease: ExclusiveLease | undefined;
  #failed: FailedTransaction | undefined;
  /** Nothing but a Sync of the proxy's own ends what the server skips. */
  #lacksSync = false;
  #mark = 0;
  /** The mark of the server connection when the transaction came to it. */
  #markBefore = -1;

  constructor(host: LazyHost, socket: Socket, requests: ClientRequests, meter: TenantMeter) {
    this.#host = host;
    this.#socket = socket;
    this.#requests = requests;
    this.#meter = meter;
  }

  /** The client is in a transaction, open or failed, that no server is known to have begun. */
  get isUnderWay(): boolean {
    return this.#opening !== undefined;
  }

  /** In what state the client is that gives this lease back. */
  stateWithout({ opening }: ExclusiveLease): 'idle' | 'begun' | 'failed' {
    if (!this.isUnderWay) return 'idle';
    return opening === 'failed' ? 'failed' : 'begun';
  }

  /** Another number in each transaction, before and after a server has begun it. */
  transactionMark(lease: ExclusiveLease | undefined): number {
    const mark = lease?.backend.transactionMark;
    return mark === undefined || mark === this.#markBefore ? this.#mark : mark;
  }

  // ---- without a server ----

  /** Whether the next message is of a batch that is answered already. */
  hasAnswered(): boolean {
    if (this.#answered === 0) return false;
    this.#answered -= 1;
    return true;
  }

  /** The client is told that its transaction has begun. */
  begins({ batch, tag, message }: Begin): void {
    this.#opening = openingOf(batch.sql, tag);
    this.#cameAs = batch.messages === 'Q' ? 'query' : 'extended';
    this.#mark = --lastMark;
    this.#answer(batch, localReplies(batch.messages, tag, TRANSACTION_OPEN), message);
    this.#host.moved('begun');
  }

  /** A message within the transaction. */
  answers(message: LocalMessage): LocalAnswer {
    if (this.hasAnswered()) return 'answered';
    const answer = answerBetweenBatches(message.type);
    if (answer === 'ready') this.#socket.write(READY[TRANSACTION_OPEN]);
    if (answer !== 'server') return 'answered';
    const batch = readLocalBatch('end', message, this.#requests);
    const tag = batch && endTag(batch.effects);
    if (batch === undefined || tag === undefined) return 'server';
    this.#ended(batch, tag, message);
    return 'answered';
  }

  #ended(batch: LocalBatch, tag: EndTag, message: LocalMessage): void {
    this.#opening = undefined;
    const news = this.#host.attendant?.ready(TRANSACTION_IDLE);
    this.#answer(batch, localReplies(batch.messages, tag, TRANSACTION_IDLE, news), message);
    this.#host.moved('idle');
  }

  #answer(batch: LocalBatch, replies: Buffer, { buffer, bodyStart, bodyEnd }: LocalMessage): void {
    const { messages, effects } = batch;
    const { watch } = this.#requests;
    this.#answered = messages.length - 1;
    if (messages === 'Q') watch.forgetUnnamed();
    else if (messages.startsWith('P')) {
      watch.unnamedParse(buffer.subarray(bodyStart, bodyEnd), effects);
    }
    watch.unnamedEnded();
    this.#meter.queryFinished(0);
    this.#socket.write(replies);
  }

  /** A message after the transaction has failed, with no server knowing of it. */
  answersFailed(message: LocalMessage): LocalAnswer {
    this.#failed ??= new FailedTransaction({
      texts: this.#requests,
      write: (bytes) => void this.#socket.write(bytes),
      ended: (chain, replies, ready) => this.#failedEnded(chain, replies, ready),
    });
    return this.#failed.answer(message);
  }

  #failedEnded(chain: Chain, replies: Buffer, ready: 'ready' | 'not_yet'): void {
    this.#failed = undefined;
    const status = statusAfter(chain);
    const news = this.#host.attendant?.ready(status);
    this.#socket.write(replies);
    if (news !== undefined) this.#socket.write(news);
    if (ready === 'ready') this.#socket.write(READY[status]);
    if (chain === 'no_chain') this.#opening = undefined;
    this.#mark = --lastMark;
    this.#host.moved(chain === 'chain' ? 'begun' : 'idle');
  }

  // ---- on a server ----

  /** The first message of a batch, of this type, is noted, and about to be sent on `lease`. */
  opens(lease: ExclusiveLease, type: number): void {
    const opening = this.#opening;
    if (opening === undefined) return;
    const { backend, outstanding } = lease;
    this.#lease = lease;
    this.#markBefore = backend.transactionMark;
    lease.opening = 'sent';
    // In a transaction a statement is not sent once more.
    lease.replay = undefined;
    // A Query has a portal of its own.
    const closes = this.#cameAs === 'query' && type !== FRONTEND.Query;
    outstanding.sentBefore(closes ? OPENING_CLOSING : OPENING, EXECUTE, this.#outcome);
    backend.writeAhead(closes ? opening.messageClosing : opening.message);
  }

  readonly #outcome: Consequence = {
    done: () => {
      if (this.#lease !== undefined) this.#lease.opening = 'none';
      this.#lease = undefined;
      this.#opening = undefined;
    },
    undo: () => {
      const lease = this.#lease;
      if (lease === undefined) return;
      lease.opening = 'failed';
      // What the client has sent ends with a Query, which the server skips as well, or with a Sync.
      this.#lacksSync = !lease.outstanding.needsMore;
      this.#lease = undefined;
    },
  };

  /** The server has answered something with an error. */
  serverFailed({ backend, outstanding }: ExclusiveLease): void {
    if (this.#lacksSync && outstanding.needsSync) {
      backend.write(encodeSync());
      outstanding.sent(SYNC);
    }
    this.#lacksSync = false;
  }
}
