/**
 * How often a property against real servers is tried: a few times and always the same in
 * `npm test`, as often as asked for in `npm run fuzz`.
 */
export interface Fuzzing {
  readonly numRuns: number;
  /** Chosen by fast-check, and told with a failure, where it is absent. */
  readonly seed?: number;
  /** What a failure leaves on servers would spoil the tries to make its example smaller. */
  readonly endOnFailure: true;
}

export interface ShortForm {
  readonly runs: number;
  readonly seed: number;
}

/** FUZZ_RUNS asks for the long form, FUZZ_SEED for the same one again. */
export function fuzzing({ runs, seed }: ShortForm): Fuzzing {
  const wanted = process.env['FUZZ_RUNS'];
  if (wanted === undefined) return { numRuns: runs, seed, endOnFailure: true };
  const again = process.env['FUZZ_SEED'];
  const chosen = again === undefined ? {} : { seed: Number(again) };
  return { numRuns: Number(wanted), endOnFailure: true, ...chosen };
}

/** Whether there is time for everything rather than for samples. */
export const isLongForm = (): boolean => process.env['FUZZ_RUNS'] !== undefined;
