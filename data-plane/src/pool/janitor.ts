/**
 * One periodic sweep over all pools of the proxy.
 */
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import { SWEEP_INTERVAL_MS } from './limits.ts';

export interface Sweepable {
  sweep(): void;
}

/** Sweeps every `intervalMs` (default SWEEP_INTERVAL_MS) from one interval after now on. */
export class Janitor {
  readonly #clock: Clock;
  readonly #places: readonly Sweepable[];
  readonly #intervalMs: number;
  #timer: Timer;

  constructor(clock: Clock, places: readonly Sweepable[], intervalMs = SWEEP_INTERVAL_MS) {
    this.#clock = clock;
    this.#places = places;
    this.#intervalMs = intervalMs;
    this.#timer = this.#next();
  }

  stop(): void {
    this.#timer.cancel();
  }

  #next(): Timer {
    return this.#clock.after(this.#intervalMs, () => {
      this.#timer = this.#next();
      for (const place of this.#places) place.sweep();
    });
  }
}
