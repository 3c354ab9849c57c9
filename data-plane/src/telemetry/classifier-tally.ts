/**
 * Counts the verdicts of the classifier: one look-up and one addition each, nothing is allocated
 * but for the first of each kind. It is asked once for every batch.
 */
import type { SharingVerdict } from '../session/meter.ts';

export class ClassifierTally {
  readonly #counts = new Map<SharingVerdict, { total: number }>();

  count(verdict: SharingVerdict): void {
    const known = this.#counts.get(verdict);
    if (known !== undefined) known.total += 1;
    else this.#counts.set(verdict, { total: 1 });
  }

  /** Those that have come. */
  *counts(): Iterable<readonly [verdict: SharingVerdict, count: number]> {
    for (const [verdict, { total }] of this.#counts) yield [verdict, total];
  }
}
