/** Figures of what was timed, and their lines on the terminal. */
import { summaryOf } from '../bench/statistics.ts';
import type { Figure } from './scale-row.ts';

/** Median, 99th percentile and maximum; a goal is for the second. */
export function timesOf(
  name: string,
  timesMs: readonly number[],
  goal?: number,
): readonly Figure[] {
  const { p50Ms, p99Ms, maxMs } = summaryOf(timesMs);
  return [
    { name: `${name}, median`, value: p50Ms, unit: 'ms' },
    { name: `${name}, p99`, value: p99Ms, unit: 'ms', ...(goal !== undefined && { goal }) },
    { name: `${name}, most`, value: maxMs, unit: 'ms' },
  ];
}

/** Runs `work` and says how long it took, in milliseconds. */
export async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const beganMs = performance.now();
  const result = await work();
  return { ms: performance.now() - beganMs, result };
}

export function lineOf({ name, value, unit, goal }: Figure): string {
  const is = `${value.toFixed(value < 100 ? 1 : 0)} ${unit}`;
  if (goal === undefined) return `  ${name.padEnd(52)} ${is}`;
  const verdict = value <= goal ? 'met' : 'missed';
  return `  ${name.padEnd(52)} ${is.padEnd(10)} goal: ${goal} ${unit}, ${verdict}`;
}
