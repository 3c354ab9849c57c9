/**
 * Measures how long a server has worked, by a process that may have been too busy to read its
 * answer: only what was spent waiting is certain to be the server's.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';

/** An answer may have lain unread for so long, at most: a busy turn of the event loop. */
const UNREAD_MAX_MS = 10;

export class ServerStopwatch {
  readonly #clock: Clock;
  #sinceMs = 0;
  #sinceIdleMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns the time, as the clock has it */
  start(): number {
    this.#sinceIdleMs = this.#clock.idleMs();
    this.#sinceMs = this.#clock.nowMs();
    return this.#sinceMs;
  }

  /** Microseconds since the start. */
  get elapsedUs(): number {
    const waitedMs = this.#clock.idleMs() - this.#sinceIdleMs;
    const passedMs = this.#clock.nowMs() - this.#sinceMs;
    return Math.max(waitedMs, passedMs - UNREAD_MAX_MS) * 1_000;
  }
}
