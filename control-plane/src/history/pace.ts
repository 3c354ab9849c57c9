/**
 * Lets the process do its other work while something long is read: a rest after every so much of
 * it.
 */

/** What is read in one go; some milliseconds at most. */
const UNITS_AT_ONCE = 50;

export class Pace {
  #left = UNITS_AT_ONCE;

  /** Call after each piece of work; `units`: events or tenants it has read. */
  async after(units: number): Promise<void> {
    this.#left -= units;
    if (this.#left <= 0) await this.rest();
  }

  async rest(): Promise<void> {
    this.#left = UNITS_AT_ONCE;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
