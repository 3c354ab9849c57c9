/**
 * What each message of a logged-in client means, by the state of its session: sent on, held,
 * answered here, or skipped.
 * Owns: the batch that was refused and is skipped. Leaves: the state to transaction.ts, what is
 * sent in a message's place to requests.ts.
 */
import type { Socket } from 'node:net';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import {
  encodeReadyForQuery,
  TRANSACTION_FAILED,
  TRANSACTION_IDLE,
} from '../../wire/postgres/backend-messages.ts';
import { DROP, HOLD } from '../../wire/postgres/frame-scanner.ts';
import type { FrameHandler, FrameVerdict, Replacement } from '../../wire/postgres/frame-scanner.ts';
import { FRONTEND } from '../../wire/postgres/message-types.ts';
import { encodePostgresError } from '../client-error.ts';
import type { SessionState } from '../session.ts';
import type { Acquisition } from './acquisition.ts';
import { answerBetweenBatches, RefusedBatch } from './between-batches.ts';
import type { ExclusiveLease } from './exclusive-lease.ts';
import { LazyBegin, readBegin } from './lazy-begin/lazy-begin.ts';
import type { LazyHost } from './lazy-begin/lazy-begin.ts';
import type { LocalMessage } from './lazy-begin/local-batch.ts';
import { requestKind } from './request-kind.ts';
import type { ClientRequests } from './requests.ts';
import { inFailedTransaction, notAllowedNow } from './session-errors.ts';

/** Requests without a reply at which a client is paused; servers flush replies long before. */
const OUTSTANDING_MAX = 65_536;

const readyIdle = encodeReadyForQuery(TRANSACTION_IDLE);
const readyFailed = encodeReadyForQuery(TRANSACTION_FAILED);

/** The session, as its client's messages move it. */
export interface FramesHost extends LazyHost {
  readonly state: SessionState;
  /** There is one while `leased`. */
  readonly lease: ExclusiveLease | undefined;
  /** Something that the server connection was given must be restored first. */
  readonly isRestoring: boolean;
  /** A batch begins. @returns the lease it runs on; undefined when it waits, or has none to get */
  obtain(): ExclusiveLease | undefined;
  /** The first message of a batch is about to be sent. */
  batchBegins(): void;
  /** The client has said Terminate; what it sent before has yet to be sent on. */
  terminates(): void;
}

export class ClientFrames implements FrameHandler {
  readonly #host: FramesHost;
  readonly #socket: Socket;
  readonly #requests: ClientRequests;
  readonly #acquisition: Acquisition;
  /** Made with the first one. */
  #refused: RefusedBatch | undefined;

  constructor(
    host: FramesHost,
    socket: Socket,
    requests: ClientRequests,
    acquisition: Acquisition,
  ) {
    this.#host = host;
    this.#socket = socket;
    this.#requests = requests;
    this.#acquisition = acquisition;
  }

  /** The batch that comes next, or waits, has been answered with an error. */
  refuse(): void {
    this.#refused ??= new RefusedBatch();
    this.#refused.begin();
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
      this.#host.terminates();
      return HOLD;
    }
    const { state } = this.#host;
    switch (state) {
      case 'leased':
        return this.#request(type, buffer, bodyStart, bodyEnd);
      case 'idle':
        return this.#begin(type, buffer, bodyStart, bodyEnd);
      case 'begun':
      case 'failed':
        return this.#inLocal(state, { type, buffer, bodyStart, bodyEnd });
      case 'skipping':
        return this.#skip(type);
      case 'waiting':
      case 'shared':
      case 'settling':
      case 'closed':
      case 'login':
        return HOLD;
      default:
        return unreachable(state);
    }
  }

  forward(run: Buffer): void {
    const { lease } = this.#host;
    if (lease === undefined) return;
    lease.replay?.record(run);
    if (!lease.backend.write(run)) this.#socket.pause();
  }

  /** Relays one message of a client that owns a server connection. */
  #request(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    const lease = this.#host.lease as ExclusiveLease;
    const { outstanding } = lease;
    const mustWait = this.#host.isRestoring || lease.cancelling || lease.opening !== 'none';
    if (mustWait && !outstanding.needsMore) return HOLD;
    const isFirst = outstanding.quiet;
    if (isFirst) this.#host.batchBegins();
    if (outstanding.length > OUTSTANDING_MAX) this.#socket.pause();
    const verdict = this.#requests.request(type, buffer, bodyStart, bodyEnd, lease);
    if (isFirst && verdict !== HOLD) this.#host.lazy?.opens(lease, type);
    return verdict;
  }

  /**
   * The first message outside a transaction: most need a server connection, some are answered here.
   */
  #begin(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    if (this.#answersBegin(type, buffer, bodyStart, bodyEnd)) return DROP;
    const answer = answerBetweenBatches(type);
    if (answer === 'ready') this.#socket.write(readyIdle);
    if (answer !== 'server') return DROP;
    if (requestKind(type) === 0) throw notAllowedNow(type);
    if (this.#requests.holdsBack(type, buffer, bodyStart, bodyEnd)) return HOLD;
    if (this.#host.obtain() === undefined) return HOLD;
    return this.#request(type, buffer, bodyStart, bodyEnd);
  }

  /** @returns whether the message is a BEGIN that is answered here, or of a batch that is */
  #answersBegin(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): boolean {
    if (this.#host.lazy?.hasAnswered() === true) return true;
    const begin = readBegin({ type, buffer, bodyStart, bodyEnd }, this.#requests);
    if (begin === undefined || !this.#acquisition.beginsLazily) return false;
    this.#host.lazy ??= new LazyBegin(
      this.#host,
      this.#socket,
      this.#requests,
      this.#acquisition.meter,
    );
    this.#host.lazy.begins(begin);
    return true;
  }

  /** A message in a transaction that no server knows of. */
  #inLocal(state: 'begun' | 'failed', message: LocalMessage): FrameVerdict {
    const { type, buffer, bodyStart, bodyEnd } = message;
    const lazy = this.#host.lazy as LazyBegin;
    const answer = state === 'begun' ? lazy.answers(message) : lazy.answersFailed(message);
    if (answer === 'answered') return DROP;
    if (requestKind(type) === 0) throw notAllowedNow(type);
    if (answer === 'refused') {
      this.#socket.write(encodePostgresError(inFailedTransaction(), 'ERROR'));
      this.refuse();
      this.#host.moved('skipping');
      return this.#skip(type);
    }
    if (this.#host.obtain() === undefined) return HOLD;
    return this.#request(type, buffer, bodyStart, bodyEnd);
  }

  #skip(type: number): FrameVerdict {
    this.#refused ??= new RefusedBatch();
    if (this.#refused.ends(type)) {
      const isInTransaction = this.#host.lazy?.isUnderWay === true;
      this.#socket.write(isInTransaction ? readyFailed : readyIdle);
      this.#host.moved(isInTransaction ? 'failed' : 'idle');
    }
    return DROP;
  }
}
