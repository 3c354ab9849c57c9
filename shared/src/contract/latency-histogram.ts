/**
 * How long things took, as counts in fixed buckets that are the same everywhere: what several
 * proxies have counted can be added up, and a percentile be taken of the sum. (Percentiles
 * themselves cannot be added or averaged.)
 * Owns: the buckets, their form in a report, percentiles. Leaves: counting to the proxies.
 * Source: the log-linear buckets of HdrHistogram, http://hdrhistogram.org.
 *
 * A bucket is one unit of 16 µs wide up to 128 µs, and then an eighth of its power of two: what is
 * read of it is wrong by 12.5 % at most. The last one takes whatever is longer than 268 s.
 */
import { z } from 'zod';

const UNITS_PER_SECOND = 62_500;
const STEPS_PER_OCTAVE = 8;
const STEP_BITS = 3;
const UNITS_MAX = 2 ** 24 - 1;

/** How many buckets there are. */
export const LATENCY_BUCKETS = bucketOfUnits(UNITS_MAX) + 1;

/** `[bucket, count, bucket, count, …]`, without empty buckets, by rising bucket. */
export const latencyCountsSchema = z
  .array(z.int().min(0))
  .max(2 * LATENCY_BUCKETS)
  .refine((flat) => flat.length % 2 === 0, 'must be pairs of bucket and count');
export type LatencyCounts = Readonly<z.infer<typeof latencyCountsSchema>>;

/** The bucket of a duration; nothing is allocated. */
export function latencyBucket(seconds: number): number {
  return bucketOfUnits(Math.min(UNITS_MAX, seconds * UNITS_PER_SECOND) | 0);
}

function bucketOfUnits(units: number): number {
  if (units < STEPS_PER_OCTAVE) return units;
  const octave = 31 - Math.clz32(units);
  const step = (units >>> (octave - STEP_BITS)) & (STEPS_PER_OCTAVE - 1);
  return (octave - STEP_BITS + 1) * STEPS_PER_OCTAVE + step;
}

/** From where on a bucket counts, and how much it takes in, in milliseconds. */
function extentOf(bucket: number): { readonly fromMs: number; readonly widthMs: number } {
  const unitMs = 1_000 / UNITS_PER_SECOND;
  if (bucket < STEPS_PER_OCTAVE) return { fromMs: bucket * unitMs, widthMs: unitMs };
  const shift = Math.floor(bucket / STEPS_PER_OCTAVE) - 1;
  const units = (STEPS_PER_OCTAVE + (bucket % STEPS_PER_OCTAVE)) * 2 ** shift;
  return { fromMs: units * unitMs, widthMs: 2 ** shift * unitMs };
}

/** What several have counted, added up. */
export class MergedLatencies {
  readonly #counts = new Float64Array(LATENCY_BUCKETS);
  #total = 0;

  get total(): number {
    return this.#total;
  }

  /** Buckets that this version does not know count as the longest it knows. */
  add(counts: LatencyCounts): void {
    for (let at = 0; at + 1 < counts.length; at += 2) {
      const bucket = Math.min(counts[at] as number, LATENCY_BUCKETS - 1);
      const count = counts[at + 1] as number;
      this.#counts[bucket] = (this.#counts[bucket] as number) + count;
      this.#total += count;
    }
  }

  /** @param share of all, above 0 and up to 1. @returns milliseconds; nothing of nothing. */
  percentileMs(share: number): number | undefined {
    if (this.#total === 0) return undefined;
    const rank = share * this.#total;
    let before = 0;
    for (const [bucket, count] of this.#counts.entries()) {
      if (count > 0 && before + count >= rank) {
        const { fromMs, widthMs } = extentOf(bucket);
        return fromMs + widthMs * ((rank - before) / count);
      }
      before += count;
    }
    return undefined;
  }
}
