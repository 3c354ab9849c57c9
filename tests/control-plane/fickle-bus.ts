/**
 * A bus as one proxy sees it, which a test can make hold back or spoil the config it carries. The
 * others on the same bus notice nothing.
 */
import type {
  Bus,
  BusKeys,
  BusLog,
  BusObjects,
  BusStatus,
  KeysSpec,
  LogMessage,
  LogSpec,
  Subscription,
} from '@dbbouncer/shared/bus/bus.ts';

/** `held`: messages wait until it is another one. */
export type Carriage = 'whole' | 'held' | 'spoiled';

const SPOILED = new TextEncoder().encode('{"spoiled":');

export class FickleBus implements Bus {
  readonly #inner: Bus;
  #carriage: Carriage = 'whole';
  #released = Promise.withResolvers<void>();

  constructor(inner: Bus) {
    this.#inner = inner;
  }

  set carriage(carriage: Carriage) {
    this.#carriage = carriage;
    if (carriage === 'held') this.#released = Promise.withResolvers<void>();
    else this.#released.resolve();
  }

  get status(): BusStatus {
    return this.#inner.status;
  }

  onStatus(listener: (status: BusStatus) => void): Subscription {
    return this.#inner.onStatus(listener);
  }

  log(spec: LogSpec): BusLog {
    const log = this.#inner.log(spec);
    return {
      append: (id, data, options) => log.append(id, data, options),
      state: () => log.state(),
      last: () => log.last(),
      follow: (from, handler) =>
        log.follow(from, async (message) => await handler(await this.#carry(message))),
    };
  }

  objects(bucket: string): BusObjects {
    const objects = this.#inner.objects(bucket);
    return {
      put: (name, data) => objects.put(name, data),
      get: async (name) => {
        const data = await objects.get(name);
        return this.#carriage === 'spoiled' && data !== undefined ? SPOILED : data;
      },
    };
  }

  keys(spec: KeysSpec): BusKeys {
    return this.#inner.keys(spec);
  }

  publish(subject: string, data: Uint8Array): void {
    this.#inner.publish(subject, data);
  }

  subscribe(subject: string, handler: (data: Uint8Array, subject: string) => void): Subscription {
    return this.#inner.subscribe(subject, handler);
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return this.#inner.request(subject, data, timeoutMs);
  }

  respond(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Subscription {
    return this.#inner.respond(subject, handler);
  }

  /** The bus below is the test's. */
  async close(): Promise<void> {}

  async #carry(message: LogMessage): Promise<LogMessage> {
    if (this.#carriage === 'held') await this.#released.promise;
    return this.#carriage === 'spoiled' ? { ...message, data: SPOILED } : message;
  }
}
