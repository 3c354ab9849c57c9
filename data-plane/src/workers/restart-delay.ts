/**
 * How long after a worker's end the next one is started in its place: at once after a long life,
 * later and later while they end soon.
 */
export const RESTART_DELAYS = Object.freeze({
  firstMs: 500,
  maxMs: 30_000,
  /** Who lived so long has not ended of what ends a worker at its start. */
  longLifeMs: 60_000,
});

export class RestartDelay {
  #shortLives = 0;

  /** How many lives in a row were short. */
  get shortLives(): number {
    return this.#shortLives;
  }

  /** @param livedMs of the worker that has ended; returns how long to wait */
  after(livedMs: number): number {
    if (livedMs >= RESTART_DELAYS.longLifeMs) {
      this.#shortLives = 0;
      return 0;
    }
    this.#shortLives += 1;
    if (this.#shortLives === 1) return 0;
    return Math.min(RESTART_DELAYS.firstMs * 2 ** (this.#shortLives - 2), RESTART_DELAYS.maxMs);
  }
}
