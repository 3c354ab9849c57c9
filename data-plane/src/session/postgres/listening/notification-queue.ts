/**
 * The messages that wait for one client: it is in a transaction, or does not read.
 * Owns: their order and the bounds. Leaves: what may be delivered when to client-channels.ts.
 */
import { QUEUED_BYTES_MAX, QUEUED_NOTIFICATIONS_MAX } from './limits.ts';

interface Queued {
  /** Undefined for what does not belong to a channel. */
  readonly channel: string | undefined;
  readonly bytes: Buffer;
}

export interface QueueLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

const LIMITS: QueueLimits = Object.freeze({
  messagesMax: QUEUED_NOTIFICATIONS_MAX,
  bytesMax: QUEUED_BYTES_MAX,
});

export class NotificationQueue {
  readonly limits: QueueLimits;
  #messages: Queued[] = [];
  #bytes = 0;

  constructor(limits: QueueLimits = LIMITS) {
    this.limits = limits;
  }

  get messages(): number {
    return this.#messages.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @returns `full`, and nothing has changed, when a limit would be passed. */
  add(channel: string | undefined, bytes: Buffer): 'added' | 'full' {
    const { messagesMax, bytesMax } = this.limits;
    if (this.messages >= messagesMax || this.#bytes + bytes.length > bytesMax) return 'full';
    this.#messages.push({ channel, bytes });
    this.#bytes += bytes.length;
    return 'added';
  }

  /** Drops what is of channels that `isWanted` denies. */
  keepOnly(isWanted: (channel: string) => boolean): void {
    if (this.messages === 0) return;
    this.#messages = this.#messages.filter(
      ({ channel }) => channel === undefined || isWanted(channel),
    );
    this.#bytes = this.#messages.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Takes what is of channels that `isDue` says, in order, the rest stays. */
  take(isDue: (channel: string) => boolean): readonly Buffer[] {
    const due = this.#messages.filter(({ channel }) => channel === undefined || isDue(channel));
    if (due.length === 0) return [];
    const isTaken = new Set(due);
    this.#messages = this.#messages.filter((message) => !isTaken.has(message));
    const taken = due.map(({ bytes }) => bytes);
    for (const { length } of taken) this.#bytes -= length;
    return taken;
  }
}
