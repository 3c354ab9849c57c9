/**
 * Transactions within transactions: the outermost is one of SQLite, those inside are savepoints.
 * Owns: which of the two it is, and undoing. Statements are prepared once, since every command of a
 * control plane has its own.
 * Source: SQLite, "SAVEPOINT" and "Response To Errors Within A Transaction".
 */
import type Database from 'better-sqlite3';

interface Steps {
  readonly begin: Database.Statement;
  readonly keep: Database.Statement;
  readonly undo: readonly Database.Statement[];
}

export class Transactions {
  readonly #client: Database.Database;
  readonly #outermost: Steps;
  readonly #inner: Steps;

  constructor(client: Database.Database) {
    const prepare = (text: string) => client.prepare(text);
    this.#client = client;
    this.#outermost = {
      begin: prepare('BEGIN IMMEDIATE'),
      keep: prepare('COMMIT'),
      undo: [prepare('ROLLBACK')],
    };
    this.#inner = {
      begin: prepare('SAVEPOINT step'),
      keep: prepare('RELEASE step'),
      undo: [prepare('ROLLBACK TO step'), prepare('RELEASE step')],
    };
  }

  get isInside(): boolean {
    return this.#client.inTransaction;
  }

  /** Keeps what `work` does when it returns, undoes it when it throws. @throws what it throws */
  run<T>(work: () => T): T {
    const steps = this.isInside ? this.#inner : this.#outermost;
    steps.begin.run();
    try {
      const result = work();
      steps.keep.run();
      return result;
    } catch (error) {
      // SQLite itself undoes all of it after some failures, a full disk among them.
      if (this.isInside) for (const step of steps.undo) step.run();
      throw error;
    }
  }
}
