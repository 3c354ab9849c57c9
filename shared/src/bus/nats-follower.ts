/**
 * Follows a stream in order, across everything that can happen to it: lost connections, lost
 * consumers, purges, and a stream that went away and came back empty.
 * It pulls through a short-lived consumer of its own and makes a new one, at the next expected
 * sequence, whenever anything is odd. Nothing is pulled before the handler is done with what was,
 * so a slow handler slows the server.
 * Source: NATS ADR-17 "Ordered Consumer", ADR-37 "Simplified JetStream".
 */
import { AckPolicy, DeliverPolicy, jetstream } from '@nats-io/jetstream';
import type { Consumer, ConsumerMessages, JsMsg, StreamInfo } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Clock, Timer } from '../kernel/clock.ts';
import type { Logger } from '../kernel/log.ts';
import type { Subscription } from './bus.ts';
import type { NatsLink } from './nats-link.ts';
import { API_TIMEOUT_MS, openManager } from './nats-stream.ts';

export interface FollowerContext {
  readonly link: NatsLink;
  readonly clock: Clock;
  readonly log: Logger;
  readonly stream: string;
  /** Of the messages that are wanted; default: all. */
  readonly filterSubject?: string;
  /** What the server says of the stream, made when it was missing. */
  readonly ensure: (connection: NatsConnection) => Promise<StreamInfo>;
}

type Handler = (message: JsMsg) => void | Promise<void>;

const ATTACH_TIMEOUT_MS = 10_000;
/** A pull asks for so many messages, and is renewed after so long without them. */
const PULL_MESSAGES = 100;
const PULL_EXPIRES_MS = 10_000;
/** As long as it is not known whether the consumer delivers what the stream has. */
const PULL_IN_DOUBT_MS = 2_000;
/** Two missed heartbeats mean that the consumer is gone. */
const PULL_HEARTBEAT_MS = 2_000;
/** The server forgets a consumer that nobody pulls from for so long. */
const CONSUMER_IDLE_MS = 60_000;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 5_000;

/** The consumer is not what was asked for any more; only a new one helps. */
class ConsumerLost extends Error {
  override readonly name = 'ConsumerLost';
}

export class NatsFollower implements Subscription {
  readonly #context: FollowerContext;
  readonly #log: Logger;
  readonly #handler: Handler;
  readonly #connectionLost: Subscription;
  #next: number;
  /** When the stream was created whose messages are delivered. */
  #life: string | undefined;
  #messages: ConsumerMessages | undefined;
  #phase: 'open' | 'closed' = 'open';
  #retryDelayMs = RETRY_FIRST_MS;
  #retry: Timer | undefined;

  constructor(context: FollowerContext, fromSequence: number, handler: Handler) {
    this.#context = context;
    this.#log = context.log.child({ stream: context.stream });
    this.#handler = handler;
    this.#next = Math.max(1, fromSequence);
    this.#connectionLost = context.link.onStatus((status) => {
      if (status === 'closed') this.close();
      else if (status === 'disconnected') this.#abandonPull();
    });
    if (context.link.status === 'closed') this.close();
    else void this.#run();
  }

  close(): void {
    this.#phase = 'closed';
    this.#connectionLost.close();
    this.#retry?.cancel();
    this.#abandonPull();
  }

  #isOpen(): boolean {
    return this.#phase === 'open';
  }

  /** Follows until something is odd, and again. */
  async #run(): Promise<void> {
    await this.#context.link.whenConnected();
    if (!this.#isOpen()) return;
    try {
      const consumer = await this.#context.link.run(
        `follow ${this.#context.stream}`,
        ATTACH_TIMEOUT_MS,
        (connection) => this.#attach(connection),
      );
      this.#retryDelayMs = RETRY_FIRST_MS;
      await this.#consume(consumer);
    } catch (error) {
      if (this.#isOpen())
        this.#log.warn({ error, next: this.#next }, 'log has to be followed anew');
    }
    if (!this.#isOpen()) return;
    this.#retry = this.#context.clock.after(this.#retryDelayMs, () => void this.#run());
    this.#retryDelayMs = Math.min(this.#retryDelayMs * 2, RETRY_MAX_MS);
  }

  async #attach(connection: NatsConnection): Promise<Consumer> {
    const before = await this.#context.ensure(connection);
    const start = this.#startIn(before);
    const manager = await openManager(connection);
    const { filterSubject } = this.#context;
    const info = await manager.consumers.add(this.#context.stream, {
      ...(filterSubject !== undefined && { filter_subject: filterSubject }),
      name: `dbb_${crypto.randomUUID().replaceAll('-', '')}`,
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: start,
      max_deliver: 1,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(CONSUMER_IDLE_MS),
    });
    // A stream takes its consumers with it: if it is still the same, the consumer is of this life.
    const after = await manager.streams.info(this.#context.stream);
    if (after.created !== before.created) throw new ConsumerLost('the stream was made anew');
    this.#life = before.created;
    this.#next = start;
    return jetstream(connection, { timeout: API_TIMEOUT_MS }).consumers.getConsumerFromInfo(info);
  }

  /** The sequence to go on with in the stream as it is now. */
  #startIn({ created, state }: StreamInfo): number {
    const isBeyondEnd = this.#next > state.last_seq + 1;
    if (this.#life === undefined) return isBeyondEnd ? 1 : this.#next;
    if (this.#life !== created) {
      this.#log.warn({ next: this.#next, created }, 'log was made anew');
      return 1;
    }
    // The same stream with its end missing, as after a power loss: what follows is new.
    return isBeyondEnd ? state.last_seq + 1 : this.#next;
  }

  async #consume(consumer: Consumer): Promise<void> {
    let delivered = 0;
    let doubt: 'none' | 'lags' = 'none';
    while (this.#isOpen() && this.#context.link.status === 'connected') {
      const before = delivered;
      const messages = await consumer.fetch({
        max_messages: PULL_MESSAGES,
        expires: doubt === 'none' ? PULL_EXPIRES_MS : PULL_IN_DOUBT_MS,
        idle_heartbeat: doubt === 'none' ? PULL_HEARTBEAT_MS : PULL_IN_DOUBT_MS / 2,
      });
      this.#messages = messages;
      try {
        for await (const message of messages) {
          if (!this.#isOpen()) return;
          delivered += 1;
          await this.#deliver(message, delivered);
        }
      } finally {
        this.#abandonPull();
      }
      if (!this.#isOpen()) return;
      const lags = delivered === before && (await this.#isBehind());
      if (lags && doubt === 'lags') {
        throw new ConsumerLost(`the consumer does not deliver message ${this.#next}`);
      }
      doubt = lags ? 'lags' : 'none';
    }
  }

  /**
   * Whether the stream has more than was delivered. A consumer lives on one server of a cluster and
   * shows signs of life also where that server has not caught up with the others.
   */
  async #isBehind(): Promise<boolean> {
    // Of some messages of the stream alone, its end says nothing.
    if (this.#context.filterSubject !== undefined) return false;
    const { state } = await this.#context.link.run(
      `look at ${this.#context.stream}`,
      ATTACH_TIMEOUT_MS,
      async (connection) => (await openManager(connection)).streams.info(this.#context.stream),
    );
    return state.last_seq >= this.#next;
  }

  async #deliver(message: JsMsg, ordinal: number): Promise<void> {
    const { streamSequence, deliverySequence } = message.info;
    if (deliverySequence !== ordinal || streamSequence < this.#next) {
      throw new ConsumerLost(`message ${ordinal} of the consumer was lost`);
    }
    this.#next = streamSequence + 1;
    try {
      await this.#handler(message);
    } catch (error) {
      this.#log.error({ error, sequence: streamSequence }, 'bus handler failed');
    }
  }

  /**
   * Ends the pull under way; messages it brought already are still delivered unless the follower is
   * closed.
   */
  #abandonPull(): void {
    void this.#messages?.close();
    this.#messages = undefined;
  }
}
