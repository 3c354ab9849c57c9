/**
 * How many batches may be run a second time because what is before them stands still: a share of
 * all, so that a server in trouble does not get twice the work.
 */

/** May be resent at once, whatever came before: one connection's batches, twice over. */
const AT_ONCE = 128;

export class ResendAllowance {
  #left = AT_ONCE;

  /** One batch was run. @param ratio how many of all may be run twice */
  earned(ratio: number): void {
    if (this.#left < AT_ONCE) this.#left = Math.min(AT_ONCE, this.#left + ratio);
  }

  /** @returns whether one may be resent, which it is then */
  take(): boolean {
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
