/**
 * The most that was wanted within about the last second: what is wanted for a moment at a time is
 * wanted all the same.
 */
const WINDOW_MS = 500;

export class WantedPeak {
  #sinceMs = -Infinity;
  #now = 0;
  #before = 0;

  observe(wanted: number, nowMs: number): number {
    const elapsedMs = nowMs - this.#sinceMs;
    if (elapsedMs >= WINDOW_MS) {
      this.#before = elapsedMs < 2 * WINDOW_MS ? this.#now : 0;
      this.#now = 0;
      this.#sinceMs = nowMs;
    }
    this.#now = Math.max(this.#now, wanted);
    return Math.max(this.#now, this.#before);
  }
}
