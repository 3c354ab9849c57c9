/**
 * What all clients of a drill have seen, added up.
 */
export class Tally {
  logins = 0;
  /** Things that clients asked in one batch or several, answered in full and rightly. */
  answers = 0;
  /** Leaves by way of leaving. */
  readonly leaves = new Map<string, number>();
  /** Errors by SQLSTATE, in sessions and at logins. */
  readonly errors = new Map<string, number>();
  /** Connections that ended without a word, by what was waited for. */
  readonly untold = new Map<string, number>();
  /** What was waited for in vain, and answers of another client's question. */
  readonly faults: string[] = [];
  /** The longest that anybody waited for one answer, and for which. */
  longestWait = { forMs: 0, what: 'nothing' };
  /** When each tenant last answered, by `performance.now()`. */
  readonly #answeredMs = new Map<string, number>();
  /** Rows whose COMMIT was acknowledged. */
  readonly committed: string[] = [];

  answered(tenant: string): void {
    this.answers += 1;
    this.#answeredMs.set(tenant, performance.now());
  }

  waited(what: string, forMs: number): void {
    if (forMs > this.longestWait.forMs) this.longestWait = { forMs, what };
  }

  lastAnswerMs(tenant: string): number {
    return this.#answeredMs.get(tenant) ?? -Infinity;
  }

  error(code: string): void {
    count(this.errors, code);
  }

  endedUntold(what: string): void {
    count(this.untold, what);
  }

  left(how: string): void {
    count(this.leaves, how);
  }
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
