/**
 * The bus of more than one machine: NATS JetStream. Files named nats-* beside this one are the only
 * ones that know it.
 * A bus is there at once, while the server may not be: what needs it waits a little, then says
 * BUS_UNAVAILABLE.
 */
import { systemClock } from '../kernel/clock.ts';
import type { Clock } from '../kernel/clock.ts';
import { isMilestone, silentLogger } from '../kernel/log.ts';
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
import { parseNatsAddress } from './nats-address.ts';
import { NatsIdentity } from './nats-identity.ts';
import type { NatsIdentityOptions } from './nats-identity.ts';
import { NatsKeys } from './nats-keys.ts';
import { NatsLink } from './nats-link.ts';
import { NatsLog } from './nats-log.ts';
import type { NatsLogContext } from './nats-log.ts';
import { NatsObjects } from './nats-objects.ts';

export interface NatsBusOptions extends NatsIdentityOptions {
  /**
   * `nats://host:4222`, `tls://user:password@host:4222`, several with commas; see nats-address.ts.
   */
  readonly servers: string;
  /** Shown in the server's list of connections, like "dbbouncer proxy p1". */
  readonly name: string;
  /**
   * Answers come in under it. Whoever may subscribe to it can read them, so each NATS user has one
   * of its own. Default is `_INBOX`.
   */
  readonly inboxPrefix?: string;
  /** Of streams and buckets that have to be made; 3 in a NATS cluster. Default is 1. */
  readonly replicas?: number;
  /** Between two attempts to connect, up to twice that at random. Default is 500. */
  readonly reconnectDelayMs?: number;
  /** How long an append or a read waits for a connection and its answer. Default is 3000. */
  readonly operationTimeoutMs?: number;
  readonly clock?: Clock;
  readonly log?: Logger;
}

/**
 * A bus that connects in the background, again whenever the connection is lost, until it is closed.
 * @throws SETTINGS_INVALID when `servers` is no NATS URL, or a file of `tls` or the credentials
 * cannot be used.
 */
export function connectNatsBus(options: NatsBusOptions): Bus {
  const clock = options.clock ?? systemClock;
  const log = (options.log ?? silentLogger).child({ bus: 'nats' });
  const address = parseNatsAddress(options.servers);
  const link = new NatsLink({
    address,
    name: options.name,
    identity: new NatsIdentity(address, options, log),
    inboxPrefix: options.inboxPrefix ?? '_INBOX',
    reconnectDelayMs: options.reconnectDelayMs ?? 500,
    clock,
    log,
  });
  const replicas = options.replicas ?? 1;
  const operationTimeoutMs = options.operationTimeoutMs ?? 3_000;
  return new NatsBus({ link, clock, log, replicas, operationTimeoutMs });
}

/** What every inbox of a NATS client begins with, ours among them. */
const INBOX = '_INBOX';

class NatsBus implements Bus {
  readonly #context: NatsLogContext;
  readonly #link: NatsLink;
  readonly #log: Logger;
  readonly #buckets = new Map<string, NatsObjects>();

  constructor(context: NatsLogContext) {
    this.#context = context;
    this.#link = context.link;
    this.#log = context.log;
  }

  get status(): BusStatus {
    return this.#link.status;
  }

  get problem(): string | undefined {
    return this.#link.problem;
  }

  onStatus(listener: (status: BusStatus) => void): Subscription {
    return this.#link.onStatus(listener);
  }

  log(spec: LogSpec): BusLog {
    return new NatsLog(this.#context, spec);
  }

  /** One per bucket, since it keeps puts in order. */
  objects(bucket: string): BusObjects {
    let objects = this.#buckets.get(bucket);
    if (objects === undefined) {
      objects = new NatsObjects(this.#context, bucket);
      this.#buckets.set(bucket, objects);
    }
    return objects;
  }

  keys(spec: KeysSpec): BusKeys {
    return new NatsKeys(this.#context, spec);
  }

  publish(subject: string, data: Uint8Array): void {
    const tooLarge = busTooLarge('The message', data, BUS_LIMITS.messageBytesMax);
    if (tooLarge !== undefined) this.#log.error({ error: tooLarge, subject }, 'message dropped');
    else this.#link.publish(subject, data);
  }

  subscribe(subject: string, handler: (data: Uint8Array, subject: string) => void): Subscription {
    return this.#link.subscribe(subject, (message) => handler(message.data, message.subject));
  }

  async request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const operation = `get an answer on ${subject}`;
    const tooLarge = busTooLarge('The request', data, BUS_LIMITS.messageBytesMax);
    if (tooLarge !== undefined) throw tooLarge;
    if (this.status !== 'connected') throw busUnavailable(operation, `it is ${this.status}`);
    return await this.#link.run(operation, timeoutMs, async (connection) => {
      const answer = await connection.request(subject, data, { timeout: timeoutMs });
      return answer.data;
    });
  }

  respond(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Subscription {
    let elsewhere = 0;
    return this.#link.subscribe(subject, ({ reply = '', data }) => {
      if (reply.startsWith(INBOX)) {
        void this.#answer(reply, data, handler);
      } else if (reply !== '') {
        elsewhere += 1;
        if (!isMilestone(elsewhere)) return;
        this.#log.warn({ subject, reply, elsewhere }, 'dropped a request with a place of its own');
      }
    });
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  async #answer(
    reply: string,
    data: Uint8Array,
    handler: (data: Uint8Array) => Promise<Uint8Array>,
  ): Promise<void> {
    try {
      const answer = await handler(data);
      const tooLarge = busTooLarge('The answer', answer, BUS_LIMITS.messageBytesMax);
      if (tooLarge !== undefined) throw tooLarge;
      this.#link.publish(reply, answer);
    } catch (error) {
      this.#log.error({ error }, 'bus responder failed');
    }
  }
}
