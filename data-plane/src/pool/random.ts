/** The pools' source of chance, for jitter only; tests pass a seeded one. */
import { randomInt } from 'node:crypto';

/** Uniform in [0, 1). */
export type Random = () => number;

const STEPS = 2 ** 32;

export const systemRandom: Random = () => randomInt(STEPS) / STEPS;
