/**
 * A server connection that does nothing but listen: its channels are those of many clients.
 * Owns: the commands on it, in order and each within a time; telling notifications apart from
 * replies; noticing that the server is gone. Leaves: who wants which channel to
 * session/postgres/listening/, its slot to the pool.
 * Source: PostgreSQL manual, LISTEN, UNLISTEN, "Asynchronous Operations"; ReadyForQuery is sent
 * behind the notifications that had arrived (PostgresMain).
 */
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import { BACKEND } from '../wire/postgres/message-types.ts';
import { decodeErrorFields } from '../wire/postgres/backend-messages.ts';
import type { ErrorFields } from '../wire/postgres/backend-messages.ts';
import { encodeQuery } from '../wire/postgres/frontend-messages.ts';
import { DROP } from '../wire/postgres/frame-scanner.ts';
import type { FrameVerdict } from '../wire/postgres/frame-scanner.ts';
import { COLLECT_BYTES_MAX } from '../wire/postgres/limits.ts';
import { ServerError } from './conversation.ts';
import type { PostgresBackend, ReplySink } from './postgres-backend.ts';

/** How long the server may take to answer a command. */
const ANSWER_TIMEOUT_MS = 10_000;
/** So often the server is asked whether it is still there, if nothing else was asked of it. */
const CHECK_INTERVAL_MS = 30_000;

export interface ListenerEvents {
  /** The body of a NotificationResponse; borrowed for the call. */
  notified(body: Buffer): void;
  /** The connection is of no more use; once, and nothing follows. */
  lost(reason: Error): void;
}

interface Command {
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
  readonly sinceMs: number;
  failure: ErrorFields | undefined;
}

export class ChannelListener implements ReplySink {
  readonly backend: PostgresBackend;
  readonly #clock: Clock;
  readonly #events: ListenerEvents;
  readonly #commands: Command[] = [];
  #timer: Timer | undefined;
  /** The last error the server spoke of: when it ends the connection, that is why. */
  #lastWords: string | undefined;
  #state: 'open' | 'closed' = 'open';

  /** Takes over a backend that nobody else uses. */
  constructor(backend: PostgresBackend, clock: Clock, events: ListenerEvents) {
    this.backend = backend;
    this.#clock = clock;
    this.#events = events;
    backend.attach(this);
    this.#watch();
  }

  /** Resolves when the server has begun to listen: what is sent from then on is heard. */
  listen(channels: Iterable<string>): Promise<void> {
    return this.#run(statements('LISTEN', channels));
  }

  /** Resolves when the server has stopped. */
  unlisten(channels: Iterable<string>): Promise<void> {
    return this.#run(statements('UNLISTEN', channels));
  }

  /** Resolves when everything was heard that had been committed, and answered, before this call. */
  fence(): Promise<void> {
    return this.#run('');
  }

  /** Nothing is heard from here on. The caller gives the backend back. */
  close(): void {
    this.#end(new Error('the listener was closed'));
  }

  /** @throws ServerError when the server refuses, Error when the connection is lost */
  #run(sql: string): Promise<void> {
    if (this.#state === 'closed') return Promise.reject(new Error('the listener is closed'));
    return new Promise((resolve, reject) => {
      const sinceMs = this.#clock.nowMs();
      this.#commands.push({ resolve, reject, sinceMs, failure: undefined });
      this.backend.write(encodeQuery(sql, 'latin1'));
      if (this.#commands.length === 1) this.#watch();
    });
  }

  /** One timer: for the answer that is due next, or else for the next question. */
  #watch(): void {
    this.#timer?.cancel();
    const [next] = this.#commands;
    const afterMs =
      next === undefined
        ? CHECK_INTERVAL_MS
        : Math.max(0, next.sinceMs + ANSWER_TIMEOUT_MS - this.#clock.nowMs());
    this.#timer = this.#clock.after(afterMs, () => {
      if (next === undefined) void this.fence().catch(() => {});
      else this.#lose(new Error(`the server did not answer within ${ANSWER_TIMEOUT_MS} ms`));
    });
  }

  #answered(): void {
    const command = this.#commands.shift();
    if (command === undefined) return;
    if (command.failure === undefined) command.resolve();
    else command.reject(new ServerError(command.failure));
    this.#watch();
  }

  #lose(reason: Error): void {
    if (this.#end(reason)) this.#events.lost(reason);
  }

  #end(reason: Error): boolean {
    if (this.#state === 'closed') return false;
    this.#state = 'closed';
    this.#timer?.cancel();
    for (const command of this.#commands.splice(0)) command.reject(reason);
    return true;
  }

  // ---- what the server says (ReplySink) ----

  needsBody(type: number, bodyLength: number): boolean {
    return bodyLength <= COLLECT_BYTES_MAX && type !== BACKEND.NoticeResponse;
  }

  frame(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    if (this.#state === 'closed') return DROP;
    if (type === BACKEND.NotificationResponse) {
      this.#events.notified(buffer.subarray(bodyStart, bodyEnd));
    } else if (type === BACKEND.ReadyForQuery) {
      this.#answered();
    } else if (type === BACKEND.ErrorResponse) {
      const failure = decodeErrorFields(buffer, bodyStart, bodyEnd);
      this.#lastWords = failure.message;
      const [command] = this.#commands;
      if (command !== undefined) command.failure ??= failure;
    }
    return DROP;
  }

  forward(): void {}
  settled(): void {}
  drained(): void {}

  lost(error: Error | undefined): void {
    this.#lose(error ?? new Error(this.#lastWords ?? 'the server closed the connection'));
  }
}

/** Channels are byte for byte as on the wire (latin1). */
function statements(verb: 'LISTEN' | 'UNLISTEN', channels: Iterable<string>): string {
  return Array.from(channels, (channel) => `${verb} "${channel.replaceAll('"', '""')}"`).join(';');
}
