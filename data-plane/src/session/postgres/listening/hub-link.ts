/**
 * One client's place at one hub.
 * Owns: its channels there; what it collects while another hub is still to be heard out. Leaves:
 * what a client wants to client-channels.ts.
 */
import type { ChannelHub, Subscriber } from './channel-hub.ts';
import type { Heard } from './heard.ts';
import { QUEUED_NOTIFICATIONS_MAX } from './limits.ts';

export interface LinkOwner {
  heard(notification: Heard): void;
  lost(link: HubLink, reason: Error): void;
  restored(reason: Error): void;
  retired(link: HubLink): void;
}

export class HubLink implements Subscriber {
  readonly hub: ChannelHub;
  readonly #owner: LinkOwner;
  readonly #channels = new Set<string>();
  readonly #collected: Heard[] = [];
  #state: 'live' | 'collecting' | 'left';
  /** Why something was not heard here, if that is so. */
  missed: Error | undefined;
  /** Its hub is to be left. */
  isRetired = false;

  constructor(hub: ChannelHub, owner: LinkOwner, state: 'live' | 'collecting') {
    this.hub = hub;
    this.#owner = owner;
    this.#state = state;
  }

  /** @throws AppError | PoolMoved, as ChannelHub.listen */
  listen(channels: readonly string[]): Promise<void> {
    for (const channel of channels) this.#channels.add(channel);
    return this.hub.listen(this, channels);
  }

  keepOnly(wanted: ReadonlySet<string>): void {
    const unwanted = Array.from(this.#channels).filter((channel) => !wanted.has(channel));
    if (unwanted.length === 0) return;
    for (const channel of unwanted) this.#channels.delete(channel);
    this.hub.unlisten(this, unwanted);
  }

  leave(): void {
    if (this.#state === 'left') return;
    this.#state = 'left';
    this.hub.unlisten(this, this.#channels);
    this.hub.leave(this);
  }

  /** What was collected is passed on, and what follows as it comes. */
  goLive(): void {
    if (this.#state !== 'collecting') return;
    this.#state = 'live';
    for (const notification of this.#collected.splice(0)) this.#owner.heard(notification);
  }

  /** Settles when this hub has said everything that was sent before. */
  async fence(): Promise<void> {
    try {
      await this.hub.fence();
    } catch (error) {
      this.missed ??= error instanceof Error ? error : new Error(String(error));
    }
  }

  // ---- the hub's side (Subscriber) ----

  heard(notification: Heard): void {
    if (this.#state === 'live') this.#owner.heard(notification);
    else if (this.#state === 'collecting') this.#collect(notification);
  }

  #collect(notification: Heard): void {
    if (this.#collected.length < QUEUED_NOTIFICATIONS_MAX) this.#collected.push(notification);
    else this.missed ??= new Error(`more than ${QUEUED_NOTIFICATIONS_MAX} came at a change of it`);
  }

  lost(reason: Error): void {
    this.missed ??= reason;
    this.#owner.lost(this, reason);
  }

  restored(reason: Error): void {
    this.#owner.restored(reason);
  }

  retired(missed: Error | undefined): void {
    this.missed ??= missed;
    this.isRetired = true;
    this.#owner.retired(this);
  }
}
