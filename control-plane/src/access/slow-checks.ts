/**
 * Runs checks that cost much memory and time, a few at once; asking twice for the same waits for
 * one. Who would wait behind too many is told so at once.
 */

export const SLOW_CHECK_LIMITS = Object.freeze({
  /** 32 MiB each. */
  runningMax: 2,
  /** Different keys in line: some seconds of work. */
  waitingMax: 64,
});

export class SlowChecks<Result> {
  readonly #underWay = new Map<string, Promise<Result>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  /** The result of `check`, or of one for the same `key` that is under way; nothing when full. */
  run(key: string, check: () => Promise<Result>): Promise<Result> | undefined {
    const underWay = this.#underWay.get(key);
    if (underWay !== undefined) return underWay;
    const { runningMax, waitingMax } = SLOW_CHECK_LIMITS;
    if (this.#running >= runningMax && this.#waiting.length >= waitingMax) return undefined;
    const result = this.#turn(check).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, result);
    return result;
  }

  async #turn(check: () => Promise<Result>): Promise<Result> {
    if (this.#running >= SLOW_CHECK_LIMITS.runningMax) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await check();
    } finally {
      // Who is next takes over the place that becomes free.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
