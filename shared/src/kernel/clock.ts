/**
 * The only place that reads time. Everything that waits or stamps takes a Clock, so that a test can
 * turn it.
 */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds; compare only with other values of the same clock. */
  nowMs(): number;
  /** How much of `nowMs` this thread has waited for something to happen. */
  idleMs(): number;
  /** Wall time as an RFC 3339 timestamp in UTC, for people and logs; never for measuring. */
  timestamp(): string;
  /** Calls `fire` once after `delayMs`. A pending timer does not keep the process alive. */
  after(delayMs: number, fire: () => void): Timer;
}

export const systemClock: Clock = Object.freeze({
  nowMs: () => performance.now(),
  idleMs: () => performance.eventLoopUtilization().idle,
  timestamp: () => new Date().toISOString(),
  after(delayMs: number, fire: () => void): Timer {
    const handle = setTimeout(fire, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
});
