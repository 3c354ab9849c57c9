/**
 * The channels of one client, and what it is told of them.
 * Owns: which channels it listens on (as of its transactions), what waits to be delivered, its
 * place at a hub, also when that becomes another. Leaves: which statements reach here, and when, to
 * listen-relay.ts; the connection that hears to channel-hub.ts.
 *
 * A notification is delivered between the client's transactions only, in front of the ReadyForQuery
 * that ends one, or at once when the client is idle, as a server does it.
 * Source: PostgreSQL manual, LISTEN; PostgresMain and async.c.
 */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { TRANSACTION_IDLE } from '../../../wire/postgres/message-types.ts';
import type { TransactionStatus } from '../../../wire/postgres/message-types.ts';
import type { TenantMeter } from '../../meter.ts';
import type { Statement } from '../sql/statement.ts';
import { TransactionEffects } from '../transaction-effects.ts';
import type { ChannelHub } from './channel-hub.ts';
import { bytesFor } from './heard.ts';
import type { Heard } from './heard.ts';
import { HubLink } from './hub-link.ts';
import { CHANNELS_PER_CLIENT_MAX } from './limits.ts';
import { PoolMoved } from './listener-lease.ts';
import { backlogFull, listenerLost, tooManyOfClient } from './listening-errors.ts';
import { missedNotice } from './missed-notice.ts';
import { NotificationQueue } from './notification-queue.ts';

/** The session of the client. */
export interface ListeningClient {
  /** As the client was told in BackendKeyData. */
  readonly processId: number;
  readonly meter: TenantMeter;
  /** Between transactions, at the end of a message, with a socket that takes more. */
  readonly takesNotifications: boolean;
  notify(bytes: Buffer): void;
  /** The hub of the pool that is its tenant's now. */
  hub(): ChannelHub | AppError;
  endWhenIdle(error: AppError): void;
  kill(error: AppError): void;
}

type ChannelChange =
  | { readonly kind: 'listen' | 'unlisten'; readonly channel: string }
  | { readonly kind: 'unlisten_every' };

export class ClientChannels {
  readonly #client: ListeningClient;
  readonly #queue = new NotificationQueue();
  readonly #pending: TransactionEffects<ChannelChange>;
  /** What it listens on. */
  readonly #active = new Set<string>();
  /** Heard for a LISTEN that is being executed, or will be. */
  readonly #expected = new Set<string>();
  #link: HubLink | undefined;
  #move: 'none' | 'under_way' = 'none';
  #state: 'open' | 'ended' = 'open';

  constructor(client: ListeningClient) {
    this.#client = client;
    this.#pending = new TransactionEffects((changes) => this.#committed(changes));
  }

  /** Entries of the transaction under way. */
  get pendingEntries(): number {
    return this.#pending.size;
  }

  get isListening(): boolean {
    return this.#active.size > 0;
  }

  /** Channels for which LISTEN was executed in the transaction under way. */
  get pendingChannels(): readonly string[] {
    return this.#pending.effects.flatMap((change) =>
      change.kind === 'listen' ? [change.channel] : [],
    );
  }

  // ---- before a LISTEN, or the COMMIT behind it, is sent ----

  /** Those of `channels` for which nothing has been prepared. */
  unprepared(channels: readonly string[]): readonly string[] {
    return channels.filter((channel) => !this.#isWanted(channel));
  }

  /**
   * Has the listener listen on `channels`: what is sent after this has resolved will be heard, and
   * nothing that was answered before.
   * @throws AppError why it cannot
   */
  async prepare(channels: readonly string[]): Promise<void> {
    const fresh = this.unprepared(channels);
    const count = fresh.length + this.#wanted().size;
    if (count > CHANNELS_PER_CLIENT_MAX) throw tooManyOfClient(count);
    for (const channel of channels) this.#expected.add(channel);
    try {
      await this.#listen(channels);
    } catch (error) {
      for (const channel of fresh) this.#expected.delete(channel);
      this.#tidyUp();
      throw error;
    }
    const isNew = new Set(channels);
    this.#queue.keepOnly((channel) => !isNew.has(channel) || this.#active.has(channel));
  }

  async #listen(channels: readonly string[]): Promise<void> {
    for (;;) {
      const link = (this.#link ??= this.#newLink('live'));
      try {
        return await link.listen(channels);
      } catch (error) {
        if (!(error instanceof PoolMoved)) throw error;
        // Its hub has said so by now, and the link is another; or it never had a connection.
        if (this.#link === link) this.#leave(link);
        if (this.#state === 'ended') throw listenerLost(error);
      }
    }
  }

  #newLink(state: 'live' | 'collecting'): HubLink {
    const hub = this.#client.hub();
    if (hub instanceof AppError) throw hub;
    return new HubLink(hub, this, state);
  }

  #leave(link: HubLink): void {
    link.leave();
    if (this.#link === link) this.#link = undefined;
  }

  // ---- what the server has executed ----

  /** The server has executed a statement of the client. */
  executed(statement: Statement): void {
    if (statement.kind === 'listen') {
      this.#pending.add({ kind: 'listen', channel: statement.channel });
    } else if (statement.kind === 'unlisten') {
      const { target } = statement;
      if (target === 'every') this.#pending.add({ kind: 'unlisten_every' });
      else this.#pending.add({ kind: 'unlisten', channel: target.name });
    } else if (statement.kind === 'discard') {
      if (statement.what === 'all') this.#pending.add({ kind: 'unlisten_every' });
    } else this.#pending.executed(statement);
  }

  failed(): void {
    this.#pending.failed();
  }

  /** ReadyForQuery is about to be passed on. @returns what the client is to read before it */
  ready(status: TransactionStatus): Buffer | undefined {
    this.#pending.ready(status);
    if (status !== TRANSACTION_IDLE) return undefined;
    const due = this.#take();
    return due.length === 0 ? undefined : Buffer.concat(due);
  }

  /** Nothing of the client's is under way: what was prepared and not executed is of no more use. */
  quiet(): void {
    if (this.#expected.size > 0) {
      this.#expected.clear();
      this.#tidyUp();
    }
    this.flush();
  }

  #committed(changes: readonly ChannelChange[]): void {
    const wasListening = this.isListening;
    for (const change of changes) {
      if (change.kind === 'listen') this.#active.add(change.channel);
      else if (change.kind === 'unlisten') this.#active.delete(change.channel);
      else this.#active.clear();
    }
    if (wasListening !== this.isListening) this.#client.meter.listeners(wasListening ? -1 : 1);
    this.#tidyUp();
  }

  #wanted(): Set<string> {
    return new Set([...this.#active, ...this.#expected, ...this.pendingChannels]);
  }

  #isWanted(channel: string): boolean {
    return (
      this.#active.has(channel) ||
      this.#expected.has(channel) ||
      this.pendingChannels.includes(channel)
    );
  }

  /** Gives up what is no longer wanted. */
  #tidyUp(): void {
    const wanted = this.#wanted();
    this.#queue.keepOnly((channel) => wanted.has(channel));
    this.#link?.keepOnly(wanted);
    if (wanted.size === 0 && this.#link !== undefined) this.#leave(this.#link);
  }

  // ---- what is heard ----

  heard(notification: Heard): void {
    const { channel } = notification;
    if (!this.#active.has(channel) && !this.#isWanted(channel)) return;
    const bytes = bytesFor(notification, this.#client.processId);
    if (this.#active.has(channel)) this.#tell(channel, bytes);
    // Of a LISTEN that may not come to be: kept until that is known.
    else this.#enqueue(channel, bytes);
  }

  #tell(channel: string | undefined, bytes: Buffer): void {
    if (this.#queue.messages > 0 || !this.#client.takesNotifications) {
      this.#enqueue(channel, bytes);
      this.flush();
    } else {
      this.#deliver([bytes]);
    }
  }

  #enqueue(channel: string | undefined, bytes: Buffer): void {
    if (this.#state === 'ended' || this.#queue.add(channel, bytes) === 'added') return;
    this.#client.meter.listeningEnded('backlog');
    this.#client.kill(backlogFull(this.#queue));
  }

  /** Delivers what waits, if the client takes it now. */
  flush(): void {
    if (this.#queue.messages === 0 || !this.#client.takesNotifications) return;
    this.#deliver(this.#queue.take((channel) => this.#active.has(channel)));
  }

  #deliver(messages: readonly Buffer[]): void {
    const [first] = messages;
    if (first === undefined) return;
    this.#client.meter.notificationsDelivered(messages.length);
    this.#client.notify(messages.length === 1 ? first : Buffer.concat(messages));
  }

  #take(): readonly Buffer[] {
    if (this.#queue.messages === 0) return [];
    const due = this.#queue.take((channel) => this.#active.has(channel));
    if (due.length > 0) this.#client.meter.notificationsDelivered(due.length);
    return due;
  }

  // ---- what becomes of the hub ----

  lost(link: HubLink, reason: Error): void {
    // One that is being left tells by `missed`.
    if (link === this.#link) this.#endBecause(listenerLost(reason));
  }

  restored(reason: Error): void {
    if (this.isListening) this.#tell(undefined, missedNotice(reason));
  }

  retired(link: HubLink): void {
    // While it moves already, the move goes on to yet another hub; without anything that it listens
    // on, the LISTEN under way finds that hub itself.
    const listens = this.isListening || !this.#pending.isEmpty;
    if (link === this.#link && this.#move === 'none' && listens) void this.#moveFrom(link);
  }

  /**
   * The new hub listens before the old one is left; what it hears waits until the old one has said
   * everything, so that nothing is missed or out of order. If both are of one server, the latest
   * notifications can come twice.
   */
  async #moveFrom(link: HubLink): Promise<void> {
    this.#move = 'under_way';
    let old = link;
    try {
      while (old.isRetired && this.#state === 'open') old = await this.#movedFrom(old);
    } catch (error) {
      old.leave();
      this.#endBecause(asEnd(error));
    }
    this.#move = 'none';
    // The client has left meanwhile: of two links one is still there.
    if (this.#state === 'ended') old.leave();
  }

  async #movedFrom(old: HubLink): Promise<HubLink> {
    const next = this.#newLink('collecting');
    this.#link = next;
    try {
      await next.listen([...this.#wanted()]);
    } catch (error) {
      next.leave();
      if (!(error instanceof PoolMoved)) throw error;
      return old;
    }
    await old.fence();
    old.leave();
    if (old.missed !== undefined) {
      if (next.hub.onListenerLoss === 'disconnect') throw listenerLost(old.missed);
      this.restored(old.missed);
    }
    next.goLive();
    return next;
  }

  #endBecause(error: AppError): void {
    if (this.#state === 'ended') return;
    if (this.#link !== undefined) this.#leave(this.#link);
    this.#client.meter.listeningEnded('listener_lost');
    this.#client.endWhenIdle(error);
  }

  /** The client is gone. */
  end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    if (this.isListening) this.#client.meter.listeners(-1);
    if (this.#link !== undefined) this.#leave(this.#link);
  }
}

function asEnd(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return listenerLost(error instanceof Error ? error : new Error(String(error)));
}
