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
/**
 * Nor the first one of a class: the server reads its catalog for it, on a connection that may be
 * new. It is believed when it was as quick as this,
 */
const QUICK_US = 150;
/** or so long that nothing of this explains it; */
const LONG_US = 50_000;
/** else so many are taken. */
const SAMPLES_MIN = 3;

interface Estimate {
  us: number;
  samples: number;
  /** The latest measurement that it was raised by. */
  raisedBy: number;
}

export class ServiceTimes {
  /** By the object that the cache of texts keeps: what is forgotten there is forgotten here. */
  readonly #byClass = new WeakMap<TextEffects, Estimate>();

  readonly #measuredSinceMs = new WeakMap<TextEffects, number>();
  /** Measurements so far. */
  #count = 0;

  /** One of a class begins to run: others of it are to wait for what it takes. */
  measuring(effects: TextEffects, nowMs: number): void {
    this.#measuredSinceMs.set(effects, nowMs);
  }

  /** Whether one of the class has begun to run less than `limitMs` ago. */
  isBeingMeasured(effects: TextEffects, nowMs: number, limitMs: number): boolean {
    const sinceMs = this.#measuredSinceMs.get(effects);
    return sinceMs !== undefined && nowMs - sinceMs < limitMs;
  }

  /** Microseconds; undefined for a class that was not measured often enough. */
  expectedUs(effects: TextEffects): number | undefined {
    const estimate = this.#byClass.get(effects);
    if (estimate === undefined) return undefined;
    const { us, samples } = estimate;
    return samples >= SAMPLES_MIN || us <= QUICK_US || us >= LONG_US ? us : undefined;
  }

  /**
   * One ran by itself, and all that was measured is its own; the first time a server does something
   * takes longest.
   */
  learnAlone(effects: TextEffects, measuredUs: number): void {
    this.#count += 1;
    const estimate = this.#byClass.get(effects);
    if (estimate === undefined || measuredUs > estimate.us) return this.#learn(effects, measuredUs);
    estimate.us = Math.max(SHORTEST_US, measuredUs);
    this.#sampled(effects, estimate);
  }

  /**
   * These ran one behind another and were answered together: each took its share of so much time.
   * That is one measurement, however many they are.
   */
  learnTogether(ran: readonly { readonly effects: TextEffects | undefined }[], us: number): void {
    this.#count += 1;
    const share = us / ran.length;
    for (const { effects } of ran) if (effects !== undefined) this.#learn(effects, share);
  }

  #learn(effects: TextEffects, measuredUs: number): void {
    const us = Math.max(SHORTEST_US, measuredUs);
    const estimate = this.#byClass.get(effects) ?? { us, samples: 0, raisedBy: this.#count };
    if (estimate.samples === 0) this.#byClass.set(effects, estimate);
    if (us < estimate.us) estimate.us += (us - estimate.us) * WEIGHT_OF_FASTER;
    else if (estimate.raisedBy !== this.#count) {
      estimate.us += (Math.min(us, estimate.us * SLOWER_MAX) - estimate.us) * WEIGHT_OF_SLOWER;
      estimate.raisedBy = this.#count;
    }
    this.#sampled(effects, estimate);
  }

  /** The next of the class may be measured, where one more is needed. */
  #sampled(effects: TextEffects, estimate: Estimate): void {
    if (estimate.samples >= SAMPLES_MIN) return;
    estimate.samples += 1;
    this.#measuredSinceMs.delete(effects);
  }
}
