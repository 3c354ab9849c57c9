/**
 * One ordered log in memory: appends, the duplicate window, trimming and its followers.
 * Leaves: names and lifetime of logs to memory-bus.ts.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../kernel/clock.ts';
import type { Logger } from '../kernel/log.ts';
import { BUS_LIMITS } from './bus.ts';
import type {
  AppendOptions,
  AppendResult,
  BusLog,
  LogMessage,
  LogSpec,
  LogState,
  Subscription,
} from './bus.ts';
import { busConflict, busTooLarge, busUnavailable } from './bus-errors.ts';

type Handler = (message: LogMessage) => void | Promise<void>;

interface Remembered {
  readonly sequence: number;
  readonly atMs: number;
}

export class MemoryLog implements BusLog {
  readonly #spec: LogSpec;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #createdAt: string;
  /** By sequence, without holes. */
  readonly #messages = new Map<number, LogMessage>();
  readonly #ids = new Map<string, Remembered>();
  readonly #followers = new Set<Follower>();
  #lastSequence = 0;
  #phase: 'open' | 'closed' = 'open';

  constructor(spec: LogSpec, clock: Clock, log: Logger) {
    this.#spec = spec;
    this.#clock = clock;
    this.#log = log.child({ stream: spec.stream });
    this.#createdAt = clock.timestamp();
  }

  get firstSequence(): number {
    if (this.#lastSequence === 0) return 0;
    return this.#lastSequence - this.#messages.size + 1;
  }

  get lastSequence(): number {
    return this.#lastSequence;
  }

  at(sequence: number): LogMessage | undefined {
    return this.#messages.get(sequence);
  }

  async append(id: string, data: Uint8Array, options?: AppendOptions): Promise<AppendResult> {
    this.#requireOpen('store a message');
    const tooLarge = busTooLarge('The message', data, BUS_LIMITS.messageBytesMax);
    if (tooLarge !== undefined) throw tooLarge;
    this.#forgetOldIds();
    const known = this.#ids.get(id);
    if (known !== undefined) return { sequence: known.sequence, duplicate: true };
    const expected = options?.expectedLastSequence ?? this.#lastSequence;
    if (expected !== this.#lastSequence) throw busConflict(this.#spec.stream, expected);
    const sequence = ++this.#lastSequence;
    this.#messages.set(sequence, Object.freeze({ sequence, data }));
    this.#ids.set(id, { sequence, atMs: this.#clock.nowMs() });
    this.#trim();
    for (const follower of this.#followers) follower.wake();
    return { sequence, duplicate: false };
  }

  async state(): Promise<LogState> {
    this.#requireOpen('read the state of a log');
    return {
      firstSequence: this.firstSequence,
      lastSequence: this.#lastSequence,
      createdAt: this.#createdAt,
    };
  }

  async last(): Promise<LogMessage | undefined> {
    this.#requireOpen('read a log');
    return this.#messages.get(this.#lastSequence);
  }

  follow(fromSequence: number, handler: Handler): Subscription {
    const follower = new Follower(this, fromSequence, handler, this.#log);
    if (this.#phase === 'closed') return follower;
    this.#followers.add(follower);
    void follower.run().finally(() => this.#followers.delete(follower));
    return follower;
  }

  close(): void {
    this.#phase = 'closed';
    for (const follower of this.#followers) follower.close();
  }

  #requireOpen(operation: string): void {
    if (this.#phase === 'closed') throw busUnavailable(operation, 'it is closed');
  }

  #forgetOldIds(): void {
    const oldestMs = this.#clock.nowMs() - BUS_LIMITS.duplicateWindowMs;
    for (const [id, { atMs }] of this.#ids) {
      if (atMs > oldestMs) return;
      this.#ids.delete(id);
    }
  }

  #trim(): void {
    const { messagesMax } = this.#spec;
    if (messagesMax === undefined) return;
    while (this.#messages.size > messagesMax) this.#messages.delete(this.firstSequence);
  }
}

/** Reads the log at its own pace; nothing is queued for it. */
class Follower implements Subscription {
  readonly #source: MemoryLog;
  readonly #handler: Handler;
  readonly #log: Logger;
  #next: number;
  #phase: 'open' | 'closed' = 'open';
  #wake: (() => void) | undefined;

  constructor(source: MemoryLog, fromSequence: number, handler: Handler, log: Logger) {
    this.#source = source;
    this.#handler = handler;
    this.#log = log;
    this.#next = fromSequence > source.lastSequence + 1 ? 1 : fromSequence;
  }

  async run(): Promise<void> {
    while (this.#isOpen()) {
      // A turn of the event loop between messages keeps a long replay from starving sockets.
      await nextTurn();
      const message = this.#take();
      if (message === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      else await this.#deliver(message);
    }
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  close(): void {
    this.#phase = 'closed';
    this.wake();
  }

  #isOpen(): boolean {
    return this.#phase === 'open';
  }

  #take(): LogMessage | undefined {
    this.#next = Math.max(this.#next, this.#source.firstSequence, 1);
    const message = this.#source.at(this.#next);
    if (message !== undefined) this.#next += 1;
    return message;
  }

  async #deliver(message: LogMessage): Promise<void> {
    if (!this.#isOpen()) return;
    try {
      await this.#handler(message);
    } catch (error) {
      this.#log.error({ error, sequence: message.sequence }, 'bus handler failed');
    }
  }
}
