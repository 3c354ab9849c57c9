/**
 * The bus of a single process: both planes share one object, nothing leaves the process, nothing
 * outlives it.
 * It behaves as the NATS adapter does (bus.contract.ts), minus the outages: always connected until
 * it is closed.
 * Handlers run in a later turn of the event loop, in the order of the calls that caused them.
 */
import { sharedErrors } from '../errors.ts';
import { systemClock } from '../kernel/clock.ts';
import type { Clock } from '../kernel/clock.ts';
import { silentLogger } from '../kernel/log.ts';
import type { Logger } from '../kernel/log.ts';
import { BUS_LIMITS } from './bus.ts';
import type {
  Bus,
  BusKeys,
  BusLog,
  BusObjects,
  BusStatus,
  KeysSpec,
  LogSpec,
  Subscription,
} from './bus.ts';
import { busTooLarge, busUnavailable } from './bus-errors.ts';
import { MemoryKeys } from './memory-keys.ts';
import { MemoryLog } from './memory-log.ts';
import { subjectMatches } from './subject-match.ts';

export interface MemoryBusOptions {
  readonly clock?: Clock;
  readonly log?: Logger;
}

export function createMemoryBus(options: MemoryBusOptions = {}): Bus {
  return new MemoryBus(options.clock ?? systemClock, options.log ?? silentLogger);
}

/** Somebody on a subject. `answer` is given when the message is a request. */
interface Listener {
  readonly pattern: string;
  receive(data: Uint8Array, subject: string, answer?: (data: Uint8Array) => void): void;
}

class MemoryBus implements Bus {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #logs = new Map<string, MemoryLog>();
  readonly #buckets = new Map<string, Map<string, Uint8Array>>();
  readonly #keys = new Map<string, MemoryKeys>();
  readonly #listeners = new Set<Listener>();
  readonly #statusListeners = new Set<(status: BusStatus) => void>();
  #status: BusStatus = 'connected';

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  get status(): BusStatus {
    return this.#status;
  }

  onStatus(listener: (status: BusStatus) => void): Subscription {
    this.#statusListeners.add(listener);
    return { close: () => void this.#statusListeners.delete(listener) };
  }

  log(spec: LogSpec): BusLog {
    let log = this.#logs.get(spec.stream);
    if (log === undefined) {
      log = new MemoryLog(spec, this.#clock, this.#log);
      this.#logs.set(spec.stream, log);
      if (this.#status === 'closed') log.close();
    }
    return log;
  }

  objects(bucket: string): BusObjects {
    let objects = this.#buckets.get(bucket);
    if (objects === undefined) this.#buckets.set(bucket, (objects = new Map()));
    const held = objects;
    return {
      put: async (name, data) => {
        this.#requireOpen('store an object');
        const tooLarge = busTooLarge(`Object "${name}"`, data, BUS_LIMITS.objectBytesMax);
        if (tooLarge !== undefined) throw tooLarge;
        held.set(name, data);
      },
      get: async (name) => {
        this.#requireOpen('read an object');
        return held.get(name)?.slice();
      },
    };
  }

  keys(spec: KeysSpec): BusKeys {
    let keys = this.#keys.get(spec.bucket);
    if (keys === undefined) {
      keys = new MemoryKeys(spec, this.#clock, this.#log);
      this.#keys.set(spec.bucket, keys);
      if (this.#status === 'closed') keys.close();
    }
    return keys;
  }

  publish(subject: string, data: Uint8Array): void {
    const tooLarge = busTooLarge('The message', data, BUS_LIMITS.messageBytesMax);
    if (tooLarge !== undefined) this.#log.error({ error: tooLarge, subject }, 'message dropped');
    else this.#send(subject, data);
  }

  subscribe(subject: string, handler: (data: Uint8Array, subject: string) => void): Subscription {
    return this.#listen({
      pattern: subject,
      receive: (data, actual) => {
        try {
          handler(data, actual);
        } catch (error) {
          this.#log.error({ error, subject: actual }, 'bus handler failed');
        }
      },
    });
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const operation = `get an answer on ${subject}`;
      if (this.#status === 'closed') throw busUnavailable(operation, 'it is closed');
      const tooLarge = busTooLarge('The request', data, BUS_LIMITS.messageBytesMax);
      if (tooLarge !== undefined) throw tooLarge;
      const fail = (reason: string) => {
        ended.close();
        timer.cancel();
        reject(busUnavailable(operation, reason));
      };
      const ended = this.onStatus(() => fail('it was closed'));
      const timer = this.#clock.after(timeoutMs, () => fail(`no answer within ${timeoutMs} ms`));
      const heard = this.#send(subject, data, (answer) => {
        ended.close();
        timer.cancel();
        resolve(answer);
      });
      if (heard === 0) fail('nobody answers');
    });
  }

  respond(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Subscription {
    return this.#listen({
      pattern: subject,
      receive: (data, actual, answer) => {
        if (answer !== undefined) void this.#answer(handler, data, actual, answer);
      },
    });
  }

  async close(): Promise<void> {
    if (this.#status === 'closed') return;
    this.#status = 'closed';
    this.#listeners.clear();
    for (const log of this.#logs.values()) log.close();
    for (const keys of this.#keys.values()) keys.close();
    for (const listener of this.#statusListeners) listener('closed');
    this.#statusListeners.clear();
  }

  #requireOpen(operation: string): void {
    if (this.#status === 'closed') throw busUnavailable(operation, 'it is closed');
  }

  #listen(listener: Listener): Subscription {
    if (this.#status !== 'closed') this.#listeners.add(listener);
    return { close: () => void this.#listeners.delete(listener) };
  }

  /**
   * Delivers in a later turn to those who listen now and still do then; returns how many listen
   * now.
   */
  #send(subject: string, data: Uint8Array, answer?: (data: Uint8Array) => void): number {
    let heard = 0;
    for (const listener of this.#listeners) {
      if (!subjectMatches(listener.pattern, subject)) continue;
      heard += 1;
      setImmediate(() => {
        if (this.#listeners.has(listener)) listener.receive(data, subject, answer);
      });
    }
    return heard;
  }

  async #answer(
    handler: (data: Uint8Array) => Promise<Uint8Array>,
    data: Uint8Array,
    subject: string,
    answer: (data: Uint8Array) => void,
  ): Promise<void> {
    try {
      const reply = await handler(data);
      const tooLarge = busTooLarge('The answer', reply, BUS_LIMITS.messageBytesMax);
      if (tooLarge !== undefined) throw tooLarge;
      setImmediate(() => answer(reply));
    } catch (error) {
      // A process that ends takes what it was asked with it.
      const level = sharedErrors.is(error) && error.code === 'BUS_UNAVAILABLE' ? 'debug' : 'error';
      this.#log[level]({ error, subject }, 'bus responder failed');
    }
  }
}
