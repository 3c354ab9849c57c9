/**
 * Counts durations into fixed buckets: a few comparisons and three additions each, nothing is
 * allocated.
 * Leaves: what of them was lately to recent-latencies.ts.
 */
import { RecentLatencies } from './recent-latencies.ts';

/** Upper bounds in seconds: from a cached read beside the proxy to a report that takes a minute. */
export const DURATION_BOUNDS: readonly number[] = Object.freeze([
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
]);

export class DurationTally {
  readonly recent = new RecentLatencies();
  /** The last one counts what is above every bound. */
  readonly #counts = new Float64Array(DURATION_BOUNDS.length + 1);
  #sumSeconds = 0;

  add(seconds: number): void {
    let bucket = 0;
    while (bucket < DURATION_BOUNDS.length && seconds > (DURATION_BOUNDS[bucket] as number)) {
      bucket += 1;
    }
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.#sumSeconds += seconds;
    this.recent.add(seconds);
  }

  get count(): number {
    return this.#counts.reduce((sum, more) => sum + more, 0);
  }

  get sumSeconds(): number {
    return this.#sumSeconds;
  }

  /**
   * How many took at most so long, by rising bound; the last entry, under `+Inf`, is all of them.
   */
  *cumulative(): Iterable<readonly [bound: number | '+Inf', count: number]> {
    let count = 0;
    for (const [bucket, more] of this.#counts.entries()) {
      count += more;
      yield [DURATION_BOUNDS[bucket] ?? '+Inf', count];
    }
  }
}
