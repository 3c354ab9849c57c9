/**
 * Counts the batches of the shared lanes, over all tenants: how many were under way on their
 * connection, and which were run by themselves after all. Nothing is allocated but for the first of
 * each kind.
 */
import type { ReturnReason } from '../session/meter.ts';

/** Upper bounds: batches on one connection. */
export const DEPTH_BOUNDS: readonly number[] = Object.freeze([1, 2, 4, 8, 16, 32, 64, 128, 256]);

export class SharedTally {
  /** The last one counts what is above every bound. */
  readonly #depths = new Float64Array(DEPTH_BOUNDS.length + 1);
  #sum = 0;
  readonly #returned = new Map<ReturnReason, number>();

  placed(depth: number): void {
    let bucket = 0;
    while (bucket < DEPTH_BOUNDS.length && depth > (DEPTH_BOUNDS[bucket] as number)) bucket += 1;
    this.#depths[bucket] = (this.#depths[bucket] as number) + 1;
    this.#sum += depth;
  }

  returned(reason: ReturnReason): void {
    this.#returned.set(reason, (this.#returned.get(reason) ?? 0) + 1);
  }

  get returns(): ReadonlyMap<ReturnReason, number> {
    return this.#returned;
  }

  /** Of the depths. */
  get sum(): number {
    return this.#sum;
  }

  /** How many found at most so many, by rising bound; `+Inf` is all of them. */
  *cumulative(): Iterable<readonly [bound: number | '+Inf', count: number]> {
    let count = 0;
    for (const [bucket, more] of this.#depths.entries()) {
      count += more;
      yield [DEPTH_BOUNDS[bucket] ?? '+Inf', count];
    }
  }
}
