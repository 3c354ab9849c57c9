/**
 * The one connection of a NATS bus: it dials until a server answers, and again whenever the
 * connection is lost.
 * Owns: status, what is under way, subscriptions across connections, and how much may be published
 * unconfirmed.
 * Leaves: streams and objects to nats-log.ts and nats-objects.ts.
 */
import { connect } from '@nats-io/transport-node';
import type {
  Msg,
  NatsConnection,
  NodeConnectionOptions,
  Subscription as NatsSubscription,
} from '@nats-io/transport-node';
import type { Clock, Timer } from '../kernel/clock.ts';
import type { Logger } from '../kernel/log.ts';
import type { BusStatus, Subscription } from './bus.ts';
import { busUnavailable } from './bus-errors.ts';
import type { NatsAddress } from './nats-address.ts';
import { Flights } from './nats-flights.ts';
import type { NatsIdentity } from './nats-identity.ts';
import { explainNatsRefusal } from './nats-refusal.ts';

export interface NatsLinkSettings {
  readonly address: NatsAddress;
  /** Shown in the server's list of connections. */
  readonly name: string;
  readonly identity: NatsIdentity;
  readonly inboxPrefix: string;
  readonly reconnectDelayMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

const DIAL_TIMEOUT_MS = 3_000;
/** A client that does not come back by itself does not say why: then it is looked into. */
const ASK_WHY_AFTER_MS = 3_000;
const ASK_WHY_AGAIN_AFTER_MS = 30_000;
/** A silent connection is given up after two unanswered pings. */
const PING_INTERVAL_MS = 10_000;
const CLOSE_TIMEOUT_MS = 1_000;
/**
 * A round trip is asked for when so much was published since the last; beyond the maximum, messages
 * are dropped.
 */
const UNCONFIRMED_BYTES_CHECK = 256 * 1024;
const UNCONFIRMED_BYTES_MAX = 8 * 1024 * 1024;

interface LinkSubscription {
  readonly subject: string;
  readonly receive: (message: Msg) => void;
  current: NatsSubscription | undefined;
}

export class NatsLink {
  readonly #settings: NatsLinkSettings;
  readonly #log: Logger;
  readonly #flights: Flights<NatsConnection>;
  readonly #subscriptions = new Set<LinkSubscription>();
  readonly #statusListeners = new Set<(status: BusStatus) => void>();
  #status: BusStatus = 'connecting';
  /** It reconnects by itself; kept while disconnected. */
  #client: NatsConnection | undefined;
  #redial: Timer | undefined;
  #askingWhy: Timer | undefined;
  #problem: string | undefined;
  #unconfirmedBytes = 0;
  #confirmation: 'none' | 'awaited' = 'none';

  /** Dials at once, in the background. */
  constructor(settings: NatsLinkSettings) {
    this.#settings = settings;
    this.#log = settings.log;
    this.#flights = new Flights(settings.clock, () => this.#problem);
    void this.#dial();
  }

  get status(): BusStatus {
    return this.#status;
  }

  /** Why the last attempt to connect failed, as long as no other has succeeded. */
  get problem(): string | undefined {
    return this.#problem;
  }

  onStatus(listener: (status: BusStatus) => void): Subscription {
    this.#statusListeners.add(listener);
    return { close: () => void this.#statusListeners.delete(listener) };
  }

  /** `Flights.run` on this connection. @throws BUS_UNAVAILABLE, also when the link is closed. */
  run<T>(
    operation: string,
    timeoutMs: number,
    begin: (connection: NatsConnection) => Promise<T>,
  ): Promise<T> {
    if (this.#status === 'closed') return Promise.reject(busUnavailable(operation, 'it is closed'));
    return this.#flights.run(operation, timeoutMs, this.#connection, begin);
  }

  /** Resolves once connected, at once when it is; also when the link is closed. */
  whenConnected(): Promise<void> {
    if (this.#status === 'connected' || this.#status === 'closed') return Promise.resolve();
    return new Promise((resolve) => {
      const listening = this.onStatus((status) => {
        if (status === 'disconnected') return;
        listening.close();
        resolve();
      });
    });
  }

  /** Sends, or drops while disconnected or while the server does not keep up. */
  publish(subject: string, data: Uint8Array): void {
    const connection = this.#connection;
    if (connection === undefined || connection.isClosed()) return;
    if (this.#unconfirmedBytes + data.byteLength > UNCONFIRMED_BYTES_MAX) {
      this.#log.warn({ subject, unconfirmedBytes: this.#unconfirmedBytes }, 'message dropped');
      return;
    }
    connection.publish(subject, data);
    this.#unconfirmedBytes += data.byteLength;
    if (this.#unconfirmedBytes >= UNCONFIRMED_BYTES_CHECK) void this.#confirm(connection);
  }

  subscribe(subject: string, receive: (message: Msg) => void): Subscription {
    if (this.#status === 'closed') return { close: () => {} };
    const subscription: LinkSubscription = { subject, receive, current: undefined };
    this.#subscriptions.add(subscription);
    if (this.#connection !== undefined) this.#attach(subscription, this.#connection);
    return {
      close: () => {
        this.#subscriptions.delete(subscription);
        subscription.current?.unsubscribe();
      },
    };
  }

  async close(): Promise<void> {
    if (this.#status === 'closed') return;
    const connection = this.#connection;
    this.#redial?.cancel();
    this.#askingWhy?.cancel();
    for (const { current } of this.#subscriptions) current?.unsubscribe();
    this.#subscriptions.clear();
    this.#setStatus('closed');
    this.#flights.closed();
    this.#statusListeners.clear();
    if (connection !== undefined) await this.#within(CLOSE_TIMEOUT_MS, connection.flush());
    if (this.#client !== undefined) await this.#within(CLOSE_TIMEOUT_MS, this.#client.close());
  }

  /** The client while it is connected. */
  get #connection(): NatsConnection | undefined {
    return this.#status === 'connected' ? this.#client : undefined;
  }

  #isClosed(): boolean {
    return this.#status === 'closed';
  }

  async #dial(): Promise<void> {
    const { reconnectDelayMs, clock } = this.#settings;
    try {
      const client = await connect(connectOptions(this.#settings));
      if (this.#isClosed()) return await client.close();
      this.#client = client;
      this.#up(client);
      await this.#watch(client);
    } catch (error) {
      if (this.#isClosed()) return;
      this.#sayRefused(error);
    }
    if (this.#isClosed()) return;
    this.#down();
    this.#redial = clock.after(reconnectDelayMs, () => void this.#dial());
  }

  /** Once for each reason, not once for each attempt. */
  #sayRefused(error: unknown): void {
    const { address, identity } = this.#settings;
    const { reason, hint } = explainNatsRefusal(error, identity);
    const level = reason === this.#problem ? 'debug' : 'warn';
    this.#problem = reason;
    this.#log[level]({ error, reason, hint, servers: address.servers }, 'cannot connect to NATS');
  }

  /** Until the client is closed for good; it reconnects by itself before that. */
  async #watch(client: NatsConnection): Promise<void> {
    for await (const event of client.status()) {
      if (this.#isClosed()) return;
      if (event.type === 'disconnect') this.#down();
      else if (event.type === 'reconnect') this.#up(client);
      else if (event.type === 'error') this.#sayError(event.error);
    }
  }

  #sayError(error: Error): void {
    if (this.#status === 'connected') this.#log.warn({ error }, 'NATS server error');
    else this.#sayRefused(error);
  }

  #up(client: NatsConnection): void {
    if (this.#status === 'connected') return;
    this.#askingWhy?.cancel();
    this.#problem = undefined;
    const encryption = client.info?.tls_required === true ? 'tls' : 'none';
    this.#log.info({ server: client.getServer(), encryption }, 'connected to NATS');
    for (const subscription of this.#subscriptions) {
      // The client renews its subscriptions itself, but not those the server refused.
      if (subscription.current?.isClosed() !== false) this.#attach(subscription, client);
    }
    this.#setStatus('connected');
    this.#flights.connected(client);
  }

  #down(): void {
    if (this.#status !== 'connected') return;
    this.#log.warn({}, 'connection to NATS lost');
    this.#askWhyAfter(ASK_WHY_AFTER_MS);
    this.#setStatus('disconnected');
    this.#flights.lost();
  }

  #askWhyAfter(delayMs: number): void {
    this.#askingWhy?.cancel();
    this.#askingWhy = this.#settings.clock.after(delayMs, () => void this.#askWhy());
  }

  /** Tries beside the client, for the reason alone. */
  async #askWhy(): Promise<void> {
    try {
      const attempt = await connect({ ...connectOptions(this.#settings), reconnect: false });
      await attempt.close();
    } catch (error) {
      if (this.#status === 'disconnected') this.#sayRefused(error);
    }
    if (this.#status === 'disconnected') this.#askWhyAfter(ASK_WHY_AGAIN_AFTER_MS);
  }

  #setStatus(status: BusStatus): void {
    this.#status = status;
    for (const listener of this.#statusListeners) listener(status);
  }

  #attach(subscription: LinkSubscription, connection: NatsConnection): void {
    const { subject } = subscription;
    subscription.current = connection.subscribe(subject, {
      callback: (refusal, message) => {
        try {
          if (refusal !== null) throw refusal;
          if (this.#subscriptions.has(subscription)) subscription.receive(message);
        } catch (error) {
          // Thrown on, it would end the client's reading.
          this.#log.error({ error, subject }, 'bus handler failed');
        }
      },
    });
  }

  /**
   * One round trip at a time: what was published before it has left this process when it returns.
   */
  async #confirm(connection: NatsConnection): Promise<void> {
    if (this.#confirmation === 'awaited') return;
    this.#confirmation = 'awaited';
    const covered = this.#unconfirmedBytes;
    // Rejected when the connection is lost, and with it all that was unconfirmed.
    await connection.flush().catch(() => {});
    this.#unconfirmedBytes -= covered;
    this.#confirmation = 'none';
  }

  /** Waits for `work`, whether it succeeds or not, but no longer than `timeoutMs`. */
  async #within(timeoutMs: number, work: Promise<void>): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#settings.clock.after(timeoutMs, resolve);
      const end = () => {
        timer.cancel();
        resolve();
      };
      work.then(end, end);
    });
  }
}

function connectOptions(settings: NatsLinkSettings): NodeConnectionOptions {
  const { address, name, identity, inboxPrefix, reconnectDelayMs } = settings;
  const { tls, authenticator } = identity;
  return {
    servers: [...address.servers],
    name,
    inboxPrefix,
    timeout: DIAL_TIMEOUT_MS,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: 2,
    maxReconnectAttempts: -1,
    reconnectTimeWait: reconnectDelayMs,
    reconnectJitter: reconnectDelayMs,
    reconnectJitterTLS: reconnectDelayMs,
    // Refused credentials may be right again after the operator's next reload.
    ignoreAuthErrorAbort: true,
    // The servers of a cluster name each other also to who is refused, and the client would go
    // from one to the next for ever, without a pause or a word.
    ignoreClusterUpdates: true,
    noAsyncTraces: true,
    ...(tls === undefined ? {} : { tls }),
    ...(authenticator === undefined ? {} : { authenticator }),
  };
}
