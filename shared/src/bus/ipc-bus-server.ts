/**
 * Lends a bus to another process: does on it what the frames of ipc-bus.ts ask for.
 * Owns: what that process has open on the bus, until it closes it or is gone.
 * A follower or watcher has one message under way at a time, so what is kept here is bounded by
 * what the other process has asked for.
 */
import { sharedErrors } from '../errors.ts';
import { AppError } from '../kernel/errors.ts';
import { unreachable } from '../kernel/assert.ts';
import type { Bus, KeyChange, LogMessage, Subscription } from './bus.ts';
import type { FromBus, IpcCall, IpcSource, KeysCall, ToBus } from './ipc-frames.ts';

export interface LentBus {
  receive(frame: ToBus): void;
  /** The other process is gone: everything it had open ends. */
  close(): void;
}

/** @param send takes frames to the other process; it may drop them once that is gone */
export function lendBus(bus: Bus, send: (frame: FromBus) => void): LentBus {
  return new Lent(bus, send);
}

interface Open {
  readonly subscription: Subscription;
  /** Lets a follower or watcher go on. */
  handled?: (() => void) | undefined;
  /** Requests that a responder has not answered yet. */
  readonly asked: Map<number, PromiseWithResolvers<Uint8Array>>;
}

class Lent implements LentBus {
  readonly #bus: Bus;
  readonly #send: (frame: FromBus) => void;
  readonly #open = new Map<number, Open>();
  #requests = 0;

  constructor(bus: Bus, send: (frame: FromBus) => void) {
    this.#bus = bus;
    this.#send = send;
  }

  receive(frame: ToBus): void {
    switch (frame.op) {
      case 'call':
        return void this.#call(frame.id, frame.call);
      case 'publish':
        return this.#bus.publish(frame.subject, frame.data);
      case 'open':
        return this.#openSource(frame.id, frame.source);
      case 'close':
        return this.#closeSource(frame.id);
      case 'handled':
        return this.#open.get(frame.id)?.handled?.();
      case 'answer':
        return this.#answered(frame);
      default:
        unreachable(frame);
    }
  }

  close(): void {
    for (const id of this.#open.keys()) this.#closeSource(id);
  }

  async #call(id: number, call: IpcCall): Promise<void> {
    try {
      this.#send({ op: 'result', id, value: await this.#result(call) });
    } catch (error) {
      const code = error instanceof AppError ? error.code : 'BUS_UNAVAILABLE';
      this.#send({ op: 'failed', id, code, message: (error as Error).message });
    }
  }

  async #result(call: IpcCall): Promise<unknown> {
    if ('keys' in call) return await this.#resultOfKeys(call);
    switch (call.method) {
      case 'append':
        return await this.#bus.log(call.log).append(...call.args);
      case 'state':
        return await this.#bus.log(call.log).state();
      case 'last':
        return await this.#bus.log(call.log).last();
      case 'put':
        return await this.#bus.objects(call.bucket).put(call.name, call.data);
      case 'get':
        return await this.#bus.objects(call.bucket).get(call.name);
      case 'request':
        return await this.#bus.request(call.subject, call.data, call.timeoutMs);
      default:
        return unreachable(call);
    }
  }

  async #resultOfKeys(call: KeysCall): Promise<unknown> {
    const keys = this.#bus.keys(call.keys);
    switch (call.method) {
      case 'get_key':
        return await keys.get(...call.args);
      case 'put_key':
        return await keys.put(...call.args);
      case 'create_key':
        return await keys.create(...call.args);
      case 'update_key':
        return await keys.update(...call.args);
      case 'delete_key':
        return await keys.delete(...call.args);
      default:
        return unreachable(call);
    }
  }

  #openSource(id: number, source: IpcSource): void {
    const asked = new Map<number, PromiseWithResolvers<Uint8Array>>();
    this.#open.set(id, { subscription: this.#subscribe(id, source), asked });
  }

  #subscribe(id: number, source: IpcSource): Subscription {
    switch (source.kind) {
      case 'subscription':
        return this.#bus.subscribe(source.subject, (data, subject) =>
          this.#send({ op: 'heard', id, subject, data }),
        );
      case 'responder':
        return this.#bus.respond(source.subject, (data) => this.#ask(id, data));
      case 'follower':
        return this.#bus
          .log(source.log)
          .follow(source.fromSequence, (message) => this.#tell(id, message));
      case 'watcher':
        return this.#bus
          .keys(source.keys)
          .watch(source.pattern, (change) => this.#tell(id, change));
      default:
        return unreachable(source);
    }
  }

  /** Resolves when the handler of the other process is done with it, or it is gone. */
  #tell(id: number, news: LogMessage | KeyChange): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const open = this.#open.get(id);
    if (open === undefined) return Promise.resolve();
    open.handled = resolve;
    this.#send({ op: 'told', id, news });
    return promise;
  }

  #ask(id: number, data: Uint8Array): Promise<Uint8Array> {
    const request = (this.#requests += 1);
    const pending = Promise.withResolvers<Uint8Array>();
    this.#open.get(id)?.asked.set(request, pending);
    this.#send({ op: 'asked', id, request, data });
    return pending.promise;
  }

  #answered({ id, request, data }: Extract<ToBus, { op: 'answer' }>): void {
    const asked = this.#open.get(id)?.asked;
    const pending = asked?.get(request);
    asked?.delete(request);
    if (data === undefined) pending?.reject(new Error('the responder of a worker failed'));
    else pending?.resolve(data);
  }

  #closeSource(id: number): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.#open.delete(id);
    open.subscription.close();
    open.handled?.();
    const gone = sharedErrors.fail('BUS_UNAVAILABLE', 'the responder is gone');
    for (const { reject } of open.asked.values()) reject(gone);
  }
}
