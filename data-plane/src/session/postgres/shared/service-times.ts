/**
 * How long statements take on the server, learned by class: by what is read out of a text without
 * its literals.
 * Owns: the estimate. Leaves: measuring to the lane and to exclusive leases, what follows to
 * lane.ts.
 */
import type { TextEffects } from '../sql/effects.ts';

/**
 * The weights of a new sample. Faster ones count more: a busy machine makes statements look slow,
 * nothing makes them look fast.
 */
const WEIGHT_OF_FASTER = 1 / 4;
const WEIGHT_OF_SLOWER = 1 / 16;
/** Less is not believed: a busy proxy sees nothing of what its server does meanwhile. */
const SHORTEST_US = 20;
/** One sample alone, of a moment when the server stood still, must not decide. */
const SLOWER_MAX = 8;

interface Estimate {
  us: number;
}

export class ServiceTimes {
  /** By the object that the cache of texts keeps: what is forgotten there is forgotten here. */
  readonly #byClass = new WeakMap<TextEffects, Estimate>();

  readonly #measuredSinceMs = new WeakMap<TextEffects, number>();

  /** The first of a class begins to run: others of it are to wait for what it takes. */
  measuring(effects: TextEffects, nowMs: number): void {
    this.#measuredSinceMs.set(effects, nowMs);
  }

  /** Whether one of the class has begun to run less than `limitMs` ago. */
  isBeingMeasured(effects: TextEffects, nowMs: number, limitMs: number): boolean {
    const sinceMs = this.#measuredSinceMs.get(effects);
    return sinceMs !== undefined && nowMs - sinceMs < limitMs;
  }

  /** Microseconds; undefined for a class that was never measured. */
  expectedUs(effects: TextEffects): number | undefined {
    return this.#byClass.get(effects)?.us;
  }

  /**
   * One ran by itself, and all that was measured is its own; the first time a server does something
   * takes longest.
   */
  learnAlone(effects: TextEffects, measuredUs: number): void {
    const estimate = this.#byClass.get(effects);
    if (estimate === undefined || measuredUs > estimate.us) this.learn(effects, measuredUs);
    else estimate.us = Math.max(SHORTEST_US, measuredUs);
  }

  /** One of several that ran one behind another took its share of so much time. */
  learn(effects: TextEffects, measuredUs: number): void {
    const us = Math.max(SHORTEST_US, measuredUs);
    const estimate = this.#byClass.get(effects);
    if (estimate === undefined) this.#byClass.set(effects, { us });
    else if (us < estimate.us) estimate.us += (us - estimate.us) * WEIGHT_OF_FASTER;
    else estimate.us += (Math.min(us, estimate.us * SLOWER_MAX) - estimate.us) * WEIGHT_OF_SLOWER;
  }
}
