/**
 * How long a client's batches take: from the first byte of one to the ReadyForQuery that ends all
 * that was sent.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { TenantMeter } from '../meter.ts';

export class BatchTimer {
  readonly #clock: Clock;
  readonly #meter: TenantMeter;
  /** Undefined between batches. */
  #sinceMs: number | undefined;

  constructor(clock: Clock, meter: TenantMeter) {
    this.#clock = clock;
    this.#meter = meter;
  }

  begin(): void {
    this.#sinceMs = this.#clock.nowMs();
  }

  end(): void {
    if (this.#sinceMs === undefined) return;
    const seconds = (this.#clock.nowMs() - this.#sinceMs) / 1000;
    this.#sinceMs = undefined;
    this.#meter.queryFinished(seconds);
  }
}
