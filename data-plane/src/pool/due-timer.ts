/**
 * One timer for the nearest of many due times. Bringing the time forward arms it again; a time
 * that moved back is found out when it fires, so that clients who come and go cost no timers.
 */
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';

export class DueTimer {
  readonly #clock: Clock;
  readonly #fire: (nowMs: number) => void;
  #timer: Timer | undefined;
  #dueMs = Infinity;

  constructor(clock: Clock, fire: (nowMs: number) => void) {
    this.#clock = clock;
    this.#fire = fire;
  }

  /**
   * Fires at `dueMs` or before; `fire` arms again if something is still due. Infinity: nothing is.
   */
  armFor(dueMs: number, nowMs: number): void {
    if (dueMs >= this.#dueMs) return;
    this.cancel();
    this.#dueMs = dueMs;
    this.#timer = this.#clock.after(Math.max(0, Math.ceil(dueMs - nowMs)), () => {
      this.#timer = undefined;
      this.#dueMs = Infinity;
      this.#fire(this.#clock.nowMs());
    });
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#dueMs = Infinity;
  }
}
