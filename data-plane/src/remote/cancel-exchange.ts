/**
 * Cancel requests between the proxies of a fleet: those of this proxy's sessions that have reached
 * another one, and those of others that have reached this one.
 * Owns: the messages, how many are under way. Leaves: whose a key is and whether it is right to the
 * session's cancel keys, how often an address may try to access/.
 *
 * A long key holds its proxy's whole id, so exactly one proxy is asked. A short one has no room for
 * more than a number made of the id, which two proxies may share: all with that number are asked at
 * once. The first answer counts, so whoever does not know the key answers late.
 */
import type { Bus, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import {
  decodeCancelAnswer,
  decodeForwardedCancel,
  encodeCancelAnswer,
  encodeForwardedCancel,
} from '@dbbouncer/shared/contract/forwarded-cancel.ts';
import type { KeyOwner } from '@dbbouncer/shared/contract/forwarded-cancel.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';

export const CANCEL_EXCHANGE = Object.freeze({
  /** Requests of clients here that wait for another proxy. */
  askedMax: 100,
  /** For the other proxy to answer; the client's connection is open for as long. */
  answerMs: 1_000,
  /** Who does not know the key lets others answer first. */
  unknownAfterMs: 250,
});

export interface ForeignKey {
  readonly processId: number;
  readonly secretKey: Buffer;
}

/** What the cancel keys of the sessions can tell; `CancelRegistry` has it. */
export interface KnownKeys {
  /** Of the short keys of this proxy. */
  readonly number: number;
  cancel(key: ForeignKey): 'found' | 'unknown_key';
}

export class CancelExchange {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #proxy: ProxyId;
  readonly #keys: KnownKeys;
  #subscriptions: readonly Subscription[] = [];
  #asked = 0;

  constructor(options: {
    readonly bus: Bus;
    readonly clock: Clock;
    readonly proxy: ProxyId;
    readonly keys: KnownKeys;
  }) {
    this.#bus = options.bus;
    this.#clock = options.clock;
    this.#proxy = options.proxy;
    this.#keys = options.keys;
  }

  start(): void {
    const subjects = [SUBJECTS.cancel(this.#proxy), SUBJECTS.cancelNumber(this.#keys.number)];
    this.#subscriptions = subjects.map((subject) =>
      this.#bus.respond(subject, (data) => this.#answer(data)),
    );
  }

  stop(): void {
    for (const subscription of this.#subscriptions) subscription.close();
  }

  /**
   * Has another proxy cancel what the key's session runs. Takes `answerMs` at most; never throws.
   * @returns `busy`: as many are under way as may be, nobody was asked
   */
  async cancel(key: ForeignKey, owner: KeyOwner): Promise<'found' | 'unknown_key' | 'busy'> {
    if (owner.kind === 'proxy' && owner.proxy === this.#proxy) return 'unknown_key';
    if (this.#asked >= CANCEL_EXCHANGE.askedMax) return 'busy';
    const subject =
      owner.kind === 'proxy' ? SUBJECTS.cancel(owner.proxy) : SUBJECTS.cancelNumber(owner.number);
    const message = encodeForwardedCancel({ from: this.#proxy, ...key });
    this.#asked += 1;
    try {
      return decodeCancelAnswer(
        await this.#bus.request(subject, message, CANCEL_EXCHANGE.answerMs),
      );
    } catch {
      // No proxy listens there, or the bus is gone: nobody can know the key.
      return 'unknown_key';
    } finally {
      this.#asked -= 1;
    }
  }

  async #answer(data: Uint8Array): Promise<Uint8Array> {
    const request = decodeForwardedCancel(data);
    // What has come here first was looked up before it was passed on.
    const isNews = request !== undefined && request.from !== this.#proxy;
    if (isNews && this.#keys.cancel(request) === 'found') return encodeCancelAnswer('found');
    await new Promise<void>((resolve) => {
      this.#clock.after(CANCEL_EXCHANGE.unknownAfterMs, resolve);
    });
    return encodeCancelAnswer('unknown_key');
  }
}
