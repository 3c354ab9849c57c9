/**
 * The one connection on which a pool's clients listen: opened for the first of them, closed some
 * time after the last, and all their channels on it.
 * Owns: who wants which channel, the listener connection and its slot, what happens when it is
 * lost. Leaves: transactions and delivery of a client to client-channels.ts, the connection's own
 * words to upstream/channel-listener.ts.
 */
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { OnListenerLoss } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Keeper } from '../../../pool/keeping.ts';
import type { Pool } from '../../../pool/pool.ts';
import { ChannelListener } from '../../../upstream/channel-listener.ts';
import type { ListenerEvents } from '../../../upstream/channel-listener.ts';
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import type { CloseReason } from '../../../upstream/upstream.ts';
import type { TenantMeter } from '../../meter.ts';
import type { Exchange } from './exchange.ts';
import { CHANNELS_PER_LISTENER_MAX, LISTENER_UNUSED_MS } from './limits.ts';
import { asListenFailure, noRoomForListener, tooManyOnListener } from './listening-errors.ts';
import { leaseForListener, PoolMoved } from './listener-lease.ts';
import { decodeHeard } from './heard.ts';
import type { Heard } from './heard.ts';
import { untilRestored } from './restoring.ts';

/** One client's place at a hub. */
export interface Subscriber {
  heard(notification: Heard): void;
  /** Nothing is heard for it any more. */
  lost(reason: Error): void;
  /** The connection was lost and there is another: what was sent in between was not heard. */
  restored(reason: Error): void;
  /**
   * The pool ends: the subscriber is to find another hub and to leave this one. `missed` is why
   * something was not heard here of late, if that is so.
   */
  retired(missed: Error | undefined): void;
}

export interface HubOptions {
  readonly pool: Pool<PostgresBackend>;
  readonly upstream: { reset(backend: PostgresBackend): Promise<void> };
  readonly exchange: Exchange;
  readonly clock: Clock;
  readonly log: Logger;
  readonly meter: TenantMeter;
  /** As it is set at the time. */
  readonly onListenerLoss: () => OnListenerLoss;
}

export class ChannelHub implements Keeper, ListenerEvents {
  readonly #options: HubOptions;
  readonly #subscribers = new Set<Subscriber>();
  readonly #byChannel = new Map<string, Set<Subscriber>>();
  #connecting: Promise<ChannelListener> | undefined;
  #listener: ChannelListener | undefined;
  #unused: Timer | undefined;
  #state: 'open' | 'restoring' | 'retired' = 'open';
  /** While restoring: why. */
  #lostBecause: Error | undefined;

  constructor(options: HubOptions) {
    this.#options = options;
  }

  get onListenerLoss(): OnListenerLoss {
    return this.#options.onListenerLoss();
  }

  /** Resolves when everything was heard that had been committed, and answered, before this call. */
  fence(): Promise<void> {
    return this.#listener?.fence() ?? Promise.resolve();
  }

  /**
   * Hears `channels` for `subscriber` from now on.
   * @returns when the server listens: what is sent afterwards will be heard
   * @throws AppError why it cannot; PoolMoved when the tenant's pool is another by now
   */
  async listen(subscriber: Subscriber, channels: readonly string[]): Promise<void> {
    this.#refuseWhenFull(channels);
    this.#unused?.cancel();
    this.#subscribers.add(subscriber);
    for (const channel of channels) this.#subscribe(subscriber, channel);
    try {
      const listener = this.#listener ?? (await this.#connect());
      await listener.listen(channels);
    } catch (error) {
      throw asListenFailure(error);
    }
  }

  unlisten(subscriber: Subscriber, channels: Iterable<string>): void {
    const unwanted: string[] = [];
    for (const channel of channels) {
      const subscribers = this.#byChannel.get(channel);
      subscribers?.delete(subscriber);
      if (subscribers?.size !== 0) continue;
      this.#byChannel.delete(channel);
      unwanted.push(channel);
    }
    if (unwanted.length > 0) this.#options.meter.channels(-unwanted.length);
    // That nobody wants them is certain; that the server hears it is not needed.
    if (unwanted.length > 0) void this.#listener?.unlisten(unwanted).catch(() => {});
  }

  /** The subscriber, having unlistened its channels, is gone. */
  leave(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    if (this.#subscribers.size > 0) return;
    if (this.#state === 'retired') this.#close('pool_drained');
    else this.#closeWhenUnused();
  }

  #refuseWhenFull(channels: readonly string[]): void {
    let more = 0;
    for (const channel of channels) if (!this.#byChannel.has(channel)) more += 1;
    const count = this.#byChannel.size + more;
    if (count <= CHANNELS_PER_LISTENER_MAX) return;
    throw tooManyOnListener(this.#options.pool.identity.tenant, count);
  }

  #subscribe(subscriber: Subscriber, channel: string): void {
    const subscribers = this.#byChannel.get(channel);
    if (subscribers !== undefined) return void subscribers.add(subscriber);
    this.#byChannel.set(channel, new Set([subscriber]));
    this.#options.meter.channels(1);
  }

  #closeWhenUnused(): void {
    this.#unused?.cancel();
    this.#unused = this.#options.clock.after(LISTENER_UNUSED_MS, () => this.#close('idle_timeout'));
  }

  // ---- the connection ----

  #connect(): Promise<ChannelListener> {
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #open(): Promise<ChannelListener> {
    const { pool, upstream, clock, exchange } = this.#options;
    const backend = await this.#lease();
    try {
      // A client may have left it with parameters of its own, such as an encoding.
      await upstream.reset(backend);
    } catch (error) {
      pool.discard(backend, 'reset_failed');
      throw error;
    }
    if (pool.keep(backend, this) === 'no_room') {
      pool.release(backend, 'clean');
      throw noRoomForListener(pool.identity.tenant);
    }
    const listener = new ChannelListener(backend, clock, this);
    this.#listener = listener;
    exchange.join(listener);
    if (this.#subscribers.size === 0) this.#closeWhenUnused();
    return listener;
  }

  async #lease(): Promise<PostgresBackend> {
    try {
      return await leaseForListener(this.#options.pool);
    } catch (error) {
      // Without a listener it has nobody else to hear it from.
      if (error instanceof PoolMoved) this.#retire();
      throw error;
    }
  }

  #close(reason: CloseReason): void {
    this.#unused?.cancel();
    const listener = this.#letGo();
    listener?.close();
    if (listener !== undefined) this.#options.pool.discard(listener.backend, reason);
  }

  #letGo(): ChannelListener | undefined {
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener !== undefined) this.#options.exchange.leave(listener);
    return listener;
  }

  /** The pool's word: its end, or no room for a listener beside the clients. */
  giveUp(reason: CloseReason): void {
    if (reason !== 'over_limit' && reason !== 'shutdown') return this.#retire();
    this.#close(reason);
    this.#endAll(new Error(reason === 'shutdown' ? 'shutting down' : 'no room for a listener'));
  }

  #retire(): void {
    if (this.#state === 'retired') return;
    this.#state = 'retired';
    for (const subscriber of Array.from(this.#subscribers)) subscriber.retired(this.#lostBecause);
    if (this.#subscribers.size === 0) this.#close('pool_drained');
  }

  // ---- what it hears (ListenerEvents) ----

  notified(body: Buffer): void {
    const notification = decodeHeard(body, this.#options.exchange);
    const subscribers = this.#byChannel.get(notification.channel);
    if (subscribers === undefined) return;
    for (const subscriber of subscribers) subscriber.heard(notification);
  }

  lost(reason: Error): void {
    const { pool, log, meter, onListenerLoss } = this.#options;
    const listener = this.#letGo();
    if (listener === undefined) return;
    pool.discard(listener.backend, 'server_gone');
    if (this.#subscribers.size === 0) return;
    meter.listenerLost();
    log.warn({ reason: reason.message, clients: this.#subscribers.size }, 'a listener was lost');
    if (this.#state === 'retired' || onListenerLoss() === 'disconnect') this.#endAll(reason);
    else void this.#restore(reason);
  }

  #endAll(reason: Error): void {
    for (const subscriber of Array.from(this.#subscribers)) subscriber.lost(reason);
  }

  /** Listens again, and only then tells: what clients read from then on misses nothing. */
  async #restore(reason: Error): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'restoring';
    this.#lostBecause = reason;
    const outcome = await untilRestored(this.#options.clock, async () => {
      if (this.#state === 'retired' || this.#subscribers.size === 0) return;
      const listener = this.#listener ?? (await this.#connect());
      await listener.listen(this.#byChannel.keys());
    });
    // Retired meanwhile: each subscriber has gone elsewhere, and knows that it missed something.
    if (this.#state !== 'restoring') return;
    this.#state = 'open';
    this.#lostBecause = undefined;
    if (outcome !== 'restored') return this.#endAll(outcome);
    for (const subscriber of Array.from(this.#subscribers)) subscriber.restored(reason);
  }
}
