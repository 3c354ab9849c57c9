/**
 * A clock that goes on while the machine sleeps. The monotonic one of the system stands then, and
 * a lease that others have counted as over long ago would seem to hold when the machine wakes.
 * Owns: telling a sleep by the wall clock, which somebody has set right meanwhile. A wall clock
 * that is set forward looks the same, and costs a lease that the next grant gives again; one that
 * is set back changes nothing.
 */
import { timestampMs } from '@dbbouncer/shared/kernel/clock.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';

/** Two clocks that only run unlike do not part by so much between two looks. */
const ASLEEP_LEAST_MS = 250;

export function wakingClock(clock: Clock): Clock {
  const awake = new WakingTime();
  return {
    nowMs: () => awake.at(clock.nowMs(), timestampMs(clock.timestamp())),
    idleMs: () => clock.idleMs(),
    timestamp: () => clock.timestamp(),
    after: (delayMs, fire) => clock.after(delayMs, fire),
  };
}

/** The same as plain data. */
export class WakingTime {
  #monotonicMs = -Infinity;
  #wallMs = Infinity;
  #asleepMs = 0;

  at(monotonicMs: number, wallMs: number): number {
    const missedMs = wallMs - this.#wallMs - (monotonicMs - this.#monotonicMs);
    if (missedMs >= ASLEEP_LEAST_MS) this.#asleepMs += missedMs;
    this.#monotonicMs = monotonicMs;
    this.#wallMs = wallMs;
    return monotonicMs + this.#asleepMs;
  }
}
