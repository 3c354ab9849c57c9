/**
 * How long a client's batches take: from the first byte of one to the ReadyForQuery that ends all
 * that was sent.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { BusyPoll } from '../busy-poll.ts';
import type { TenantMeter } from '../meter.ts';

export class BatchTimer {
  readonly #clock: Clock;
  readonly #meter: TenantMeter;
  readonly #busyPoll: BusyPoll;
  /** Undefined between batches. */
  #sinceMs: number | undefined;

  constructor(clock: Clock, meter: TenantMeter, busyPoll: BusyPoll) {
    this.#clock = clock;
    this.#meter = meter;
    this.#busyPoll = busyPoll;
  }

  begin(): void {
    const nowMs = this.#clock.nowMs();
    if (this.#sinceMs === undefined) this.#busyPoll.began(nowMs);
    this.#sinceMs = nowMs;
  }

  end(): void {
    if (this.#sinceMs === undefined) return;
    const nowMs = this.#clock.nowMs();
    const seconds = (nowMs - this.#sinceMs) / 1000;
    this.#sinceMs = undefined;
    this.#busyPoll.ended(nowMs);
    this.#meter.queryFinished(seconds);
  }

  /** The client is gone: nobody waits for the end of the batch under way. */
  abandon(): void {
    if (this.#sinceMs === undefined) return;
    this.#sinceMs = undefined;
    this.#busyPoll.abandoned();
  }
}
