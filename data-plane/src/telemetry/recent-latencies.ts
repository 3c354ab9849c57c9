/**
 * The durations of the last 30 to 60 seconds, counted in the buckets that reports have: one
 * addition each. Who has had nothing lately costs nothing.
 */
import { LATENCY_BUCKETS, latencyBucket } from '@dbbouncer/shared/contract/latency-histogram.ts';
import type { LatencyCounts } from '@dbbouncer/shared/contract/latency-histogram.ts';

export class RecentLatencies {
  /** Since the last turn, and of the time between the two turns before. */
  #now: Uint32Array | undefined;
  #before: Uint32Array | undefined;

  add(seconds: number): void {
    const counts = (this.#now ??= new Uint32Array(LATENCY_BUCKETS));
    const bucket = latencyBucket(seconds);
    counts[bucket] = (counts[bucket] as number) + 1;
  }

  /** To be called every 30 seconds: what is older than the turn before is forgotten. */
  turn(): void {
    this.#before = this.#now;
    this.#now = undefined;
  }

  get isEmpty(): boolean {
    return this.#now === undefined && this.#before === undefined;
  }

  read(): LatencyCounts {
    const counts: number[] = [];
    if (this.isEmpty) return counts;
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
      const count = (this.#now?.[bucket] ?? 0) + (this.#before?.[bucket] ?? 0);
      if (count > 0) counts.push(bucket, count);
    }
    return counts;
  }
}
