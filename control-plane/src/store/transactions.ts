/**
 * Transactions within transactions: the outermost is one of SQLite, those inside are savepoints.
 * Owns: which of the two it is, and undoing. Statements are prepared once, since every command of a
 * control plane has its own.
 * Source: SQLite, "SAVEPOINT" and "Response To Errors Within A Transaction".
 */
import type Database from 'better-sqlite3';
import { controlErrors } from '../errors.ts';

interface Steps {
  readonly begin: Database.Statement;
  readonly keep: Database.Statement;
  readonly undo: readonly Database.Statement[];
}

export class Transactions {
  readonly #client: Database.Database;
  readonly #outermost: Steps;
  readonly #inner: Steps;
  #depth = 0;

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
    return this.#depth > 0;
  }

  /** Keeps what `work` does when it returns, undoes it when it throws. @throws what it throws */
  run<T>(work: () => T): T {
    this.requireWhole();
    const steps = this.isInside ? this.#inner : this.#outermost;
    steps.begin.run();
    this.#depth += 1;
    try {
      const result = work();
      steps.keep.run();
      return result;
    } catch (error) {
      if (this.#client.inTransaction) for (const step of steps.undo) step.run();
      throw error;
    } finally {
      this.#depth -= 1;
    }
  }

  /**
   * SQLite itself undoes all of a transaction after some failures, a full disk among them: what
   * would be done behind that would be kept alone. @throws STORE_FAILED then
   */
  requireWhole(): void {
    if (!this.isInside || this.#client.inTransaction) return;
    throw controlErrors.fail('STORE_FAILED', 'The transaction was undone by a failure before.');
  }
}
