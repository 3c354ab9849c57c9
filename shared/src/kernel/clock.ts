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

/** A `timestamp()` as milliseconds since 1970: for ages that outlive the process. */
export function timestampMs(timestamp: string): number {
  return Date.parse(timestamp);
}

/** The timestamp that is `ms` later. */
export function timestampAfter(timestamp: string, ms: number): string {
  return new Date(timestampMs(timestamp) + ms).toISOString();
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

/**
 * A written time as `Clock.timestamp` writes it, in UTC with milliseconds, so that texts compare as
 * times do; nothing when it is none. It must name its offset: what a bare "12:00" means depends on
 * who reads it.
 */
export function toTimestamp(written: string): string | undefined {
  const text = written.replace(URL_DECODED_PLUS, '+');
  if (!RFC_3339.test(text)) return undefined;
  const milliseconds = Date.parse(text);
  if (Number.isNaN(milliseconds) || !isDay(text.slice(0, 10))) return undefined;
  return new Date(milliseconds).toISOString();
}

/** To `Date`, the 31st of February is a day in March. */
function isDay(date: string): boolean {
  return new Date(date).toISOString().startsWith(date);
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/i;
/** The "+" of an offset, as it arrives in a query that did not encode it. */
const URL_DECODED_PLUS = / (?=\d\d:\d\d$)/;
