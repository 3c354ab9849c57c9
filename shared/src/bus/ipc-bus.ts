/**
 * The bus of another process, over a channel to it: the third adapter of the port, for workers of a
 * supervisor that has the in-process bus.
 * It behaves as that bus does (bus.contract.ts); when the channel closes it is closed for good, and
 * a worker whose supervisor is gone ends.
 * Source: ipc-frames.ts; ipc-bus-server.ts is the other end.
 */
import type { Clock } from '../kernel/clock.ts';
import { unreachable } from '../kernel/assert.ts';
import type { Logger } from '../kernel/log.ts';
import { BUS_LIMITS } from './bus.ts';
import type {
  AppendResult,
  Bus,
  BusKeys,
  BusLog,
  BusObjects,
  BusStatus,
  KeyEntry,
  KeysSpec,
  LogMessage,
  LogSpec,
  LogState,
  Subscription,
} from './bus.ts';
import { busTooLarge } from './bus-errors.ts';
import { IpcCalls } from './ipc-calls.ts';
import type { FromBus, IpcSource, KeysCall, ToBus } from './ipc-frames.ts';

export interface IpcBusOptions {
  /** Takes frames to the process that has the bus. */
  readonly send: (frame: ToBus) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

type Receive = (frame: FromBus) => void;
type Handler<News> = (news: News) => void | Promise<void>;

/** A request ends in the other process first; this is for one that does not answer at all. */
const REQUEST_MARGIN_MS = 1_000;

export class IpcBus implements Bus {
  readonly #options: IpcBusOptions;
  readonly #calls: IpcCalls;
  readonly #sources = new Map<number, Receive>();
  readonly #statusListeners = new Set<(status: BusStatus) => void>();
  #lastSource = 0;
  #status: BusStatus = 'connected';

  constructor(options: IpcBusOptions) {
    this.#options = options;
    this.#calls = new IpcCalls(options);
  }

  get status(): BusStatus {
    return this.#status;
  }

  onStatus(listener: (status: BusStatus) => void): Subscription {
    this.#statusListeners.add(listener);
    return { close: () => void this.#statusListeners.delete(listener) };
  }

  /** A frame of the process that has the bus. */
  receive(frame: FromBus): void {
    switch (frame.op) {
      case 'result':
      case 'failed':
        return this.#calls.answered(frame);
      case 'heard':
      case 'asked':
      case 'told':
        return this.#sources.get(frame.id)?.(frame);
      default:
        unreachable(frame);
    }
  }

  log(spec: LogSpec): BusLog {
    const read = (method: 'state' | 'last') =>
      this.#calls.call({ method, log: spec }, `read log ${spec.stream}`);
    return {
      append: async (...args) => {
        this.#requireFit('The message', args[1], BUS_LIMITS.messageBytesMax);
        const call = { method: 'append', log: spec, args } as const;
        return (await this.#calls.call(call, `append to log ${spec.stream}`)) as AppendResult;
      },
      state: async () => (await read('state')) as LogState,
      last: async () => (await read('last')) as LogMessage | undefined,
      follow: (fromSequence, handler) => {
        const source = { kind: 'follower', log: spec, fromSequence } as const;
        return this.#open(source, this.#oneByOne(handler as Handler<unknown>));
      },
    };
  }

  objects(bucket: string): BusObjects {
    return {
      put: async (name, data) => {
        this.#requireFit(`Object "${name}"`, data, BUS_LIMITS.objectBytesMax);
        await this.#calls.call({ method: 'put', bucket, name, data }, 'store an object');
      },
      get: async (name) =>
        (await this.#calls.call({ method: 'get', bucket, name }, 'read an object')) as
          Uint8Array | undefined,
    };
  }

  keys(keys: KeysSpec): BusKeys {
    const call = (of: KeysCall, verb: string) =>
      this.#calls.call(of, `${verb} a key of ${keys.bucket}`);
    const write = async (of: KeysCall, value: Uint8Array, verb: string) => {
      this.#requireFit('The value', value, keys.valueBytesMax ?? BUS_LIMITS.messageBytesMax);
      return (await call(of, verb)) as number;
    };
    return {
      get: async (...args) =>
        (await call({ method: 'get_key', keys, args }, 'read')) as KeyEntry | undefined,
      put: (...args) => write({ method: 'put_key', keys, args }, args[1], 'write'),
      create: (...args) => write({ method: 'create_key', keys, args }, args[1], 'create'),
      update: (...args) => write({ method: 'update_key', keys, args }, args[1], 'update'),
      delete: async (...args) => {
        await call({ method: 'delete_key', keys, args }, 'delete');
      },
      watch: (pattern, handler) => {
        const source = { kind: 'watcher', keys, pattern } as const;
        return this.#open(source, this.#oneByOne(handler as Handler<unknown>));
      },
    };
  }

  publish(subject: string, data: Uint8Array): void {
    if (this.#status === 'closed') return;
    const tooLarge = busTooLarge('The message', data, BUS_LIMITS.messageBytesMax);
    if (tooLarge === undefined) this.#options.send({ op: 'publish', subject, data });
    else this.#options.log.error({ error: tooLarge, subject }, 'message dropped');
  }

  subscribe(subject: string, handler: (data: Uint8Array, subject: string) => void): Subscription {
    return this.#open({ kind: 'subscription', subject }, (frame) => {
      if (frame.op !== 'heard') return;
      try {
        handler(frame.data, frame.subject);
      } catch (error) {
        this.#options.log.error({ error, subject: frame.subject }, 'bus handler failed');
      }
    });
  }

  async request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    this.#requireFit('The request', data, BUS_LIMITS.messageBytesMax);
    const call = { method: 'request', subject, data, timeoutMs } as const;
    const operation = `get an answer on ${subject}`;
    const withinMs = timeoutMs + REQUEST_MARGIN_MS;
    return (await this.#calls.call(call, operation, withinMs)) as Uint8Array;
  }

  respond(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Subscription {
    return this.#open({ kind: 'responder', subject }, (frame, id) => {
      if (frame.op === 'asked') void this.#answer(id, frame, subject, handler);
    });
  }

  /** What was published is on its way; the channel keeps the order. */
  async close(): Promise<void> {
    if (this.#status === 'closed') return;
    for (const id of this.#sources.keys()) this.#options.send({ op: 'close', id });
    this.ended();
  }

  /** The channel is closed: nothing comes and nothing goes any more. */
  ended(): void {
    if (this.#status === 'closed') return;
    this.#status = 'closed';
    this.#sources.clear();
    this.#calls.close();
    for (const listener of this.#statusListeners) listener('closed');
    this.#statusListeners.clear();
  }

  #requireFit(what: string, data: Uint8Array, bytesMax: number): void {
    const tooLarge = busTooLarge(what, data, bytesMax);
    if (tooLarge !== undefined) throw tooLarge;
  }

  #open(source: IpcSource, receive: (frame: FromBus, id: number) => void): Subscription {
    if (this.#status === 'closed') return { close: () => {} };
    const id = (this.#lastSource += 1);
    this.#sources.set(id, (frame) => receive(frame, id));
    this.#options.send({ op: 'open', id, source });
    return {
      close: () => {
        if (this.#sources.delete(id)) this.#options.send({ op: 'close', id });
      },
    };
  }

  /** The other process sends the next when it hears that the handler is done with this one. */
  #oneByOne(handler: Handler<unknown>): (frame: FromBus, id: number) => void {
    const handle = async (news: unknown, id: number): Promise<void> => {
      try {
        await handler(news);
      } catch (error) {
        this.#options.log.error({ error }, 'bus handler failed');
      }
      if (this.#sources.has(id)) this.#options.send({ op: 'handled', id });
    };
    return (frame, id) => {
      if (frame.op === 'told') void handle(frame.news, id);
    };
  }

  async #answer(
    id: number,
    { request, data }: Extract<FromBus, { op: 'asked' }>,
    subject: string,
    handler: (data: Uint8Array) => Promise<Uint8Array>,
  ): Promise<void> {
    let answer: Uint8Array | undefined;
    try {
      answer = await handler(data);
      this.#requireFit('The answer', answer, BUS_LIMITS.messageBytesMax);
    } catch (error) {
      answer = undefined;
      this.#options.log.error({ error, subject }, 'bus responder failed');
    }
    if (this.#status !== 'closed') this.#options.send({ op: 'answer', id, request, data: answer });
  }
}
