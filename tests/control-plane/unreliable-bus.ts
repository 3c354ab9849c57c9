/**
 * An in-process bus that a test can take down, bring back, wipe, or let lose an answer, as a NATS
 * server would.
 */
import type {
  AppendResult,
  Bus,
  BusKeys,
  BusLog,
  BusObjects,
  BusStatus,
  KeysSpec,
  LogSpec,
  Subscription,
} from '@dbbouncer/shared/bus/bus.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { messagesOn } from './published.ts';

export class UnreliableBus implements Bus {
  readonly #listeners = new Set<(status: BusStatus) => void>();
  readonly #answersToLose = new Set<string>();
  readonly #toHoldBack = new Set<string>();
  readonly #heldBack: (() => Promise<AppendResult>)[] = [];
  #inner: Bus;
  #lives = 0;
  #status: BusStatus;

  constructor(status: BusStatus = 'connected') {
    this.#status = status;
    this.#inner = this.#newLife();
  }

  get status(): BusStatus {
    return this.#status;
  }

  goDown(): void {
    this.#become('disconnected');
  }

  comeBack(): void {
    this.#become('connected');
  }

  /** Forgets everything it ever held. */
  wipe(): void {
    this.#inner = this.#newLife();
  }

  /** Loses the messages of one log after `sequence`, as a server restored from a backup has. */
  async loseTail(spec: LogSpec, sequence: number): Promise<void> {
    const kept = (await messagesOn(this.#inner, spec)).slice(0, sequence);
    this.wipe();
    for (const [index, data] of kept.entries()) {
      await this.#inner.log(spec).append(`kept-${index}`, data);
    }
  }

  /**
   * The next append to the log is stored, but its sender only learns that the bus is unavailable.
   */
  loseNextAnswer(stream: string): void {
    this.#answersToLose.add(stream);
  }

  /** The next append to the log fails for its sender, and arrives only with `deliverHeldBack`. */
  holdBackNext(stream: string): void {
    this.#toHoldBack.add(stream);
  }

  async deliverHeldBack(): Promise<void> {
    for (const deliver of this.#heldBack.splice(0)) await deliver();
  }

  onStatus(listener: (status: BusStatus) => void): Subscription {
    this.#listeners.add(listener);
    return { close: () => void this.#listeners.delete(listener) };
  }

  log(spec: LogSpec): BusLog {
    const inner = () => this.#reachable().log(spec);
    return {
      append: async (id, data, options) =>
        await this.#append(spec, () => inner().append(id, data, options)),
      state: async () => await inner().state(),
      last: async () => await inner().last(),
      follow: (from, handler) => this.#inner.log(spec).follow(from, handler),
    };
  }

  objects(bucket: string): BusObjects {
    return {
      put: async (name, data) => await this.#reachable().objects(bucket).put(name, data),
      get: async (name) => await this.#reachable().objects(bucket).get(name),
    };
  }

  keys(spec: KeysSpec): BusKeys {
    const inner = () => this.#reachable().keys(spec);
    return {
      get: async (key) => await inner().get(key),
      put: async (key, value) => await inner().put(key, value),
      create: async (key, value) => await inner().create(key, value),
      update: async (key, value, revision) => await inner().update(key, value, revision),
      delete: async (key, revision) => await inner().delete(key, revision),
      watch: (pattern, handler) => this.#inner.keys(spec).watch(pattern, handler),
    };
  }

  publish(subject: string, data: Uint8Array): void {
    if (this.#status === 'connected') this.#inner.publish(subject, data);
  }

  subscribe(subject: string, handler: (data: Uint8Array, subject: string) => void): Subscription {
    return this.#inner.subscribe(subject, handler);
  }

  async request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return await this.#reachable().request(subject, data, timeoutMs);
  }

  respond(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Subscription {
    return this.#inner.respond(subject, handler);
  }

  async close(): Promise<void> {
    await this.#inner.close();
  }

  async #append(spec: LogSpec, append: () => Promise<AppendResult>): Promise<AppendResult> {
    if (this.#toHoldBack.delete(spec.stream)) {
      this.#heldBack.push(append);
      throw sharedErrors.fail('BUS_UNAVAILABLE', 'No answer yet.');
    }
    const result = await append();
    if (this.#answersToLose.delete(spec.stream)) {
      throw sharedErrors.fail('BUS_UNAVAILABLE', 'No answer.');
    }
    return result;
  }

  #reachable(): Bus {
    if (this.#status === 'connected') return this.#inner;
    throw sharedErrors.fail('BUS_UNAVAILABLE', `The bus is ${this.#status}.`);
  }

  #newLife(): Bus {
    const life = ++this.#lives;
    return createMemoryBus({ clock: { ...systemClock, timestamp: () => `life ${life}` } });
  }

  #become(status: BusStatus): void {
    this.#status = status;
    for (const listener of this.#listeners) listener(status);
  }
}
