/**
 * The slots a pool keeps open although nobody waits for them: from its first client on, from the
 * beginning with `prewarm`, or since it took the place of a pool in use.
 * Owns: whether the pool is wanted, and since when it is not. Leaves: how many slots that means to
 * pool-core.ts, opening them to pool-dials.ts.
 */
import type { Backend } from '../upstream/upstream.ts';
import type { PoolCore } from './pool-core.ts';
import type { PoolDials } from './pool-dials.ts';

export interface PoolMinimumOptions<B extends Backend> {
  readonly core: PoolCore<B, unknown>;
  readonly dials: PoolDials<B>;
  /** Why no dial can succeed now, known without trying. */
  readonly hindrance: () => unknown;
  readonly nowMs: number;
}

export class PoolMinimum<B extends Backend> {
  readonly #core: PoolCore<B, unknown>;
  readonly #dials: PoolDials<B>;
  readonly #hindrance: () => unknown;
  #demand: 'none_yet' | 'seen' = 'none_yet';
  #lastUseMs: number;

  constructor({ core, dials, hindrance, nowMs }: PoolMinimumOptions<B>) {
    this.#core = core;
    this.#dials = dials;
    this.#hindrance = hindrance;
    this.#lastUseMs = nowMs;
  }

  /** A client wants something of the pool. */
  asked(nowMs: number): void {
    this.#demand = 'seen';
    this.#lastUseMs = nowMs;
  }

  /** As if clients had come, `slots` of them for a while. */
  warm(slots: number, nowMs: number): void {
    this.asked(nowMs);
    this.#core.warmUp(slots, nowMs);
    this.#open(nowMs);
  }

  /** Opens what is lacking; to be called now and then. */
  keep(nowMs: number): void {
    const { working, line, settings } = this.#core;
    const isPrewarmed = settings.prewarm === 'on' && settings.minConnections > 0;
    if (working > 0 || line.size > 0 || isPrewarmed) this.#lastUseMs = nowMs;
    if (this.#demand === 'seen' || isPrewarmed) this.#open(nowMs);
  }

  /** Since when there have been neither slots nor clients; undefined while there are. */
  get emptySinceMs(): number | undefined {
    const { occupied, line } = this.#core;
    return occupied === 0 && line.size === 0 ? this.#lastUseMs : undefined;
  }

  /** Slots that a pool in place of this one needs at once; undefined: it is not in use. */
  get busy(): number | undefined {
    const { open, leased, resetting, line } = this.#core;
    const isUsed = open > 0 || line.size > 0;
    return isUsed ? leased.size + resetting.size + line.size : undefined;
  }

  #open(nowMs: number): void {
    if (this.#hindrance() === undefined) this.#dials.forMinimum(nowMs);
  }
}
