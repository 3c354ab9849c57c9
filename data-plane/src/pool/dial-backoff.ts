/**
 * When a pool may dial again after its server could not be reached or refused the login.
 * Owns: the pause and the last dial error. Leaves: what this means for waiters to pool-core.ts.
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { DIAL_PAUSE_MIN_MS } from './limits.ts';
import type { Random } from './random.ts';

export class DialBackoff {
  readonly #random: Random;
  #error: AppError | undefined;
  /** Pauses in a row, each begun by a failure. */
  #pauses = 0;
  /**
   * Pauses ever. Dials that run side by side are of one round, and only its first failure counts.
   */
  #round = 0;
  #pausedUntilMs = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** What the last dial failed with, until one succeeds. */
  get error(): AppError | undefined {
    return this.#error;
  }

  /** A dial remembers the round it began in and says it when it fails. */
  get round(): number {
    return this.#round;
  }

  get pausedUntilMs(): number {
    return this.#pausedUntilMs;
  }

  isPaused(nowMs: number): boolean {
    return this.#error !== undefined && nowMs < this.#pausedUntilMs;
  }

  /**
   * @returns whether this failure began a pause, of `pauseMaxMs` at most; the others of its round
   * only bring their error.
   */
  failed(round: number, error: AppError, nowMs: number, pauseMaxMs: number): boolean {
    this.#error = error;
    if (round !== this.#round) return false;
    this.#round += 1;
    this.#pauses += 1;
    const ceilingMs = Math.min(pauseMaxMs, DIAL_PAUSE_MIN_MS * 2 ** this.#pauses);
    this.#pausedUntilMs = nowMs + ceilingMs * (0.5 + 0.5 * this.#random());
    return true;
  }

  /** @returns whether dials had failed before. */
  succeeded(): boolean {
    const recovered = this.#error !== undefined;
    this.#error = undefined;
    this.#pauses = 0;
    return recovered;
  }
}
