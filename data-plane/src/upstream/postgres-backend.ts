/**
 * One PostgreSQL server connection: its socket, its frames, and what the server has told about the
 * session behind it.
 * Owns: reading, writing, closing, the parameters the server reported. Leaves: what replies mean to
 * the `ReplySink` of the moment, of which there is exactly one: login, idle, a command of our own
 * (reset, probe), or a client's session.
 */
import type { Socket } from 'node:net';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { BACKEND, BACKEND_TYPES } from '../wire/postgres/message-types.ts';
import {
  decodeParameterStatus,
  decodeReadyForQuery,
  TRANSACTION_IDLE,
} from '../wire/postgres/backend-messages.ts';
import { FrameScanner } from '../wire/postgres/frame-scanner.ts';
import type { FrameHandler, FrameVerdict } from '../wire/postgres/frame-scanner.ts';
import { BACKEND_BODY_BYTES_MAX, COLLECT_BYTES_MAX } from '../wire/postgres/limits.ts';
import { encodeTerminate } from '../wire/postgres/frontend-messages.ts';
import { WireError } from '../wire/wire-error.ts';
import type { LeakDetector } from './leaks/leak-detector.ts';
import { EMPTY_VECTOR } from './parameter-vector.ts';
import type { ParameterVector } from './parameter-vector.ts';
import { reportedParameters, textReading } from './reported-parameters.ts';
import type { ReportedParameters, TextReading } from './reported-parameters.ts';
import { sendCancel } from './send-cancel.ts';
import type { ServerReads } from './server-reads.ts';
import type { ServerTls } from './server-tls.ts';
import type { TimeLimit } from './time-limit.ts';
import type { Backend, CloseReason, ServerEvents } from './upstream.ts';

/** Whoever the server is talking to at the moment. */
export interface ReplySink extends FrameHandler {
  /**
   * Of runs that are passed on: `borrowed`: by the time `forward` returns they were written to a
   * socket, and `lendRun` called if that has yet to send them. Without it they are taken to be kept
   * for good.
   */
  readonly runs?: 'borrowed';
  /** All frames that arrived together have been handed over. */
  settled(): void;
  /** The socket has taken everything that was written. */
  drained(): void;
  /**
   * The connection has ended, or the server broke the protocol (`error`); no other call follows.
   */
  lost(error: Error | undefined): void;
}

export interface BackendKey {
  readonly processId: number;
  readonly secretKey: Buffer;
}

export interface BackendOptions {
  readonly socket: Socket;
  /** Where the socket's bytes come from; absent when it emits them itself. */
  readonly reads: ServerReads | undefined;
  readonly sink: ReplySink;
  readonly events: ServerEvents;
  /** Where the server listens: cancels go there. */
  readonly address: { readonly host: string; readonly port: number };
  /** What the tenant wants run at the beginning of each session. */
  readonly initSql: string | undefined;
  readonly leaks: LeakDetector;
  /** What the connection is encrypted with; cancels go in the same way. */
  readonly tls: ServerTls | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

const NOTHING = Buffer.alloc(0);

let lastId = 0;
let lastMark = 0;

export class PostgresBackend implements Backend {
  readonly id = ++lastId;
  readonly socket: Socket;
  readonly address: BackendOptions['address'];
  readonly tls: ServerTls | undefined;
  readonly initSql: string | undefined;
  /** Looks for what clients have left here. */
  readonly leaks: LeakDetector;
  /** The real cancel key: it never leaves the proxy. */
  key: BackendKey | undefined;
  /** What the server reported last, by name. */
  readonly parameters = new Map<string, string>();
  /** Session parameters that were set for a client on top of what the login gave. */
  vector: ParameterVector = EMPTY_VECTOR;
  answered = 0;
  /**
   * How long the server may take for one answer to the proxy itself, `limitMs` if that is given;
   * the login as a whole has a limit of its own.
   */
  patience: ((limitMs?: number) => TimeLimit) | undefined;
  /** ReadyForQuery's status byte of the last one seen: I, T or E. */
  transactionStatus = 0;
  /** Another number, of all backends, after each ReadyForQuery. */
  readyMark = 0;
  /** The same for those that say idle. */
  transactionMark = 0;

  readonly #scanner: FrameScanner;
  readonly #reads: ServerReads | undefined;
  #reported: ReportedParameters | undefined;
  #textReading: TextReading = 'standard';
  readonly #events: ServerEvents;
  readonly #log: Logger;
  readonly #clock: Clock;
  #sink: ReplySink;
  #ahead: Buffer | undefined;
  #closedBecause: CloseReason | 'probed' | undefined;
  #ended = false;
  #closing: Timer | undefined;

  constructor(options: BackendOptions) {
    const { socket } = options;
    this.socket = socket;
    this.address = options.address;
    this.tls = options.tls;
    this.initSql = options.initSql;
    this.leaks = options.leaks;
    this.#sink = options.sink;
    this.#events = options.events;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#scanner = new FrameScanner({
      handler: this.#frames,
      frameBytesMax: BACKEND_BODY_BYTES_MAX,
      allowed: BACKEND_TYPES,
      collectBytesMax: COLLECT_BYTES_MAX,
      serial: [BACKEND.DataRow, BACKEND.CopyData],
    });
    const received = (chunk: Buffer) => this.#received(chunk);
    this.#reads = options.reads;
    if (options.reads === undefined) socket.on('data', received);
    else options.reads.consume(received);
    socket.on('drain', () => this.#sink.drained());
    socket.on('error', (error) => this.#ending(error));
    socket.on('end', () => this.#ending(undefined));
    socket.on('close', () => this.#closed());
  }

  get sink(): ReplySink {
    return this.#sink;
  }

  /** What the server reports now; the same object until it reports a change. */
  get reported(): ReportedParameters {
    this.#reported ??= reportedParameters(this.parameters);
    return this.#reported;
  }

  /** How the server reads the texts that are sent to it now. */
  get textReading(): TextReading {
    return this.#textReading;
  }

  /** Whether the server's next byte begins a message. */
  get atBoundary(): boolean {
    return this.#scanner.atBoundary;
  }

  /** From now on replies go to `sink`. */
  attach(sink: ReplySink): void {
    this.#sink = sink;
  }

  /** @returns false when the caller must wait for `drained()` before it writes more. */
  write(bytes: Buffer): boolean {
    const ahead = this.#ahead;
    if (ahead === undefined) return this.socket.write(bytes);
    this.#ahead = undefined;
    return this.socket.write(Buffer.concat([ahead, bytes]));
  }

  /** Sends `bytes` in one write with what is written next; `flush` sends them without. */
  writeAhead(bytes: Buffer): void {
    this.flush();
    this.#ahead = bytes;
  }

  /** Sends what waits for the next write. */
  flush(): void {
    if (this.#ahead !== undefined) this.write(NOTHING);
  }

  /** The run that is being passed on stays as it is until `client` has sent it. */
  lendRun(client: Socket): void {
    this.#reads?.lendTo(client);
  }

  get usable(): boolean {
    return !this.#ended && this.#closedBecause === undefined && !this.socket.destroyed;
  }

  /** `probed`: it was opened to see whether it can be, and is no pool's. */
  close(reason: CloseReason | 'probed'): void {
    if (this.#closedBecause !== undefined) return;
    this.#closedBecause = reason;
    this.#log.debug({ backend: this.id, reason }, 'closing server connection');
    this.#sink = gone;
    if (this.#ended) return void this.socket.destroy();
    // Terminate ends the server's process in an orderly way; its closing is what frees the slot.
    this.socket.end(encodeTerminate());
    this.socket.resume();
    this.#closing = this.#clock.after(CANCEL_EACH_MS, () => this.#insist(CANCELS_MAX));
  }

  /**
   * A server that works on a statement reads no Terminate, and would go on without a slot. A cancel
   * ends one statement, and others may stand before the Terminate; once the socket is gone, the
   * server ends when it cannot tell of the cancel.
   */
  #insist(cancelsLeft: number): void {
    if (cancelsLeft === 0) this.socket.destroy();
    void sendCancel(this, CANCEL_LIMIT_MS);
    if (cancelsLeft === 0) return;
    this.#closing = this.#clock.after(CANCEL_EACH_MS, () => this.#insist(cancelsLeft - 1));
  }

  readonly #frames: FrameHandler = {
    needsBody: (type, bodyLength) => {
      // The sink is asked in any case: it may note the length.
      const sinkNeeds = this.#sink.needsBody(type, bodyLength);
      return sinkNeeds || type === BACKEND.ParameterStatus || type === BACKEND.ReadyForQuery;
    },
    frame: (type, buffer, bodyStart, bodyEnd): FrameVerdict => {
      if (type !== BACKEND.DataRow && type !== BACKEND.CopyData) this.#reads?.pace.resultEnded();
      if (type === BACKEND.ReadyForQuery) {
        this.transactionStatus = decodeReadyForQuery(buffer, bodyStart, bodyEnd);
        this.answered += 1;
        this.readyMark = ++lastMark;
        if (this.transactionStatus === TRANSACTION_IDLE) this.transactionMark = lastMark;
      }
      const verdict = this.#sink.frame(type, buffer, bodyStart, bodyEnd);
      if (type === BACKEND.ParameterStatus) {
        // After the sink, which may want to compare with the value of before.
        const { name, value } = decodeParameterStatus(buffer.subarray(bodyStart, bodyEnd));
        this.parameters.set(name, value);
        this.#reported = undefined;
        this.#textReading = textReading(this.parameters);
      }
      return verdict;
    },
    replacement: () => {
      const replacement = this.#sink.replacement?.();
      assert(replacement !== undefined, 'a sink that answers REPLACE has a replacement');
      return replacement;
    },
    forward: (run) => {
      const sink = this.#sink;
      if (sink.runs !== 'borrowed') this.#reads?.keep();
      sink.forward(run);
    },
  };

  #received(chunk: Buffer): void {
    if (this.#ended || this.#closedBecause !== undefined) return;
    try {
      this.#scanner.push(chunk);
      this.#sink.settled();
    } catch (error) {
      // Anything but a WireError is a fault of ours, which costs this connection and no other.
      const isServersFault = error instanceof WireError;
      const message = isServersFault ? 'server broke the protocol' : 'replies could not be handled';
      this.#log.error({ backend: this.id, error }, message);
      this.#lose(error instanceof Error ? error : new Error(String(error)));
      this.close('protocol_error');
    }
  }

  #ending(error: Error | undefined): void {
    this.#ended = true;
    this.#lose(error);
    this.socket.destroy();
  }

  #lose(error: Error | undefined): void {
    const sink = this.#sink;
    this.#sink = gone;
    sink.lost(error);
  }

  #closed(): void {
    this.#ended = true;
    this.#closing?.cancel();
    this.#lose(undefined);
    this.#events.closed();
  }
}

/** How long a server may take to close after Terminate before its statement is cancelled, each. */
const CANCEL_EACH_MS = 1_000;
/** Cancels before the server is given up. */
const CANCELS_MAX = 5;
/** How long a server may take to accept a cancel. */
const CANCEL_LIMIT_MS = 5_000;

/** Where replies go when nobody is left to hear them. */
const gone: ReplySink = Object.freeze({
  needsBody: () => false,
  frame: (): FrameVerdict => 1,
  forward: () => {},
  settled: () => {},
  drained: () => {},
  lost: () => {},
});
