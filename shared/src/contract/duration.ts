/**
 * Durations as people write them: "500ms", "5m", "1h30m". Inside, a duration is milliseconds. Bare
 * numbers are no durations: whether 300 is seconds or milliseconds is what this spares the reader.
 */

const UNIT_MS = Object.freeze({ d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 });
type Unit = keyof typeof UNIT_MS;
const UNITS = Object.freeze(Object.entries(UNIT_MS));

const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|[dhms]))+$/;
const PART = /(\d+(?:\.\d+)?)(ms|[dhms])/g;

/** JavaScript timers overflow above 24.8 days and then fire at once. */
export const DURATION_MS_MAX = 24 * UNIT_MS.d;

export const DURATION_RULE = 'a duration such as "500ms", "30s", "5m" or "1h30m"';

/** Whole milliseconds, or nothing when the text is not a duration. "0" is one. */
export function parseDurationMs(text: string): number | undefined {
  if (text === '0') return 0;
  if (!DURATION.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(PART)) {
    totalMs += Number(amount) * UNIT_MS[unit as Unit];
  }
  return Math.round(totalMs);
}

/** The shortest text that parses to the same milliseconds, largest unit first; "0s" for 0. */
export function formatDuration(durationMs: number): string {
  let restMs = durationMs;
  let text = '';
  for (const [unit, unitMs] of UNITS) {
    if (restMs < unitMs) continue;
    const amount = Math.floor(restMs / unitMs);
    text += `${amount}${unit}`;
    restMs -= amount * unitMs;
  }
  return text === '' ? '0s' : text;
}
