/**
 * Which prepared statements one server connection has, the least recently used first. It says what
 * is true after all that was sent has been done; `Undo` records take back what a failed or skipped
 * message did not do.
 */
import type { PreparedStatement } from './statement-catalogue.ts';

export class BackendStatements {
  /** With the lease that used each last. */
  readonly #used = new Map<PreparedStatement, number>();
  #lease = 0;
  /** Parsed by a message that the server has not answered, with its batch. */
  readonly #pending = new Map<PreparedStatement, number>();
  /** There, and of no use any more: what they read has changed. */
  readonly #outdated = new Set<PreparedStatement>();

  /** Another client begins to use the connection. */
  beginLease(): void {
    this.#lease += 1;
  }

  /** All names on the connection, also of outdated ones. */
  get names(): ReadonlySet<string> {
    return new Set([...this.#used.keys(), ...this.#outdated].map(({ name }) => name));
  }

  get size(): number {
    return this.#used.size;
  }

  /** Whether it is there; if so it counts as used now. */
  use(statement: PreparedStatement): boolean {
    if (!this.#used.delete(statement)) return false;
    this.#used.set(statement, this.#lease);
    return true;
  }

  has(statement: PreparedStatement): boolean {
    return this.#used.has(statement);
  }

  add(statement: PreparedStatement): void {
    this.#used.set(statement, this.#lease);
  }

  /** It is there if a Parse of this batch, that is sent now, succeeds. */
  expect(statement: PreparedStatement, batch: number): void {
    this.add(statement);
    this.#pending.set(statement, batch);
  }

  /** The Parse succeeded. */
  confirm(statement: PreparedStatement): void {
    this.#pending.delete(statement);
  }

  /** Whether it is there is known only when a message of another batch is answered. */
  isUnsettled(statement: PreparedStatement, batch: number): boolean {
    const pending = this.#pending.get(statement);
    return pending !== undefined && pending !== batch;
  }

  delete(statement: PreparedStatement): void {
    this.#used.delete(statement);
    this.#pending.delete(statement);
  }

  /** It is there, but has to be closed and parsed again before its next use. */
  outdated(statement: PreparedStatement): void {
    this.delete(statement);
    this.#outdated.add(statement);
  }

  /** Whether it must be closed before it is parsed; that is done now. */
  takeOutdated(statement: PreparedStatement): boolean {
    return this.#outdated.delete(statement);
  }

  /**
   * The one to close before another is parsed, when there are as many as may be. Never one that the
   * lease under way has used: closing a statement closes the portals made from it.
   */
  surplus(statementsMax: number): PreparedStatement | undefined {
    if (this.#used.size < statementsMax) return undefined;
    const [oldest] = this.#used;
    return oldest === undefined || oldest[1] === this.#lease ? undefined : oldest[0];
  }

  /** DEALLOCATE ALL or DISCARD ALL. @returns what was there */
  clear(): readonly PreparedStatement[] {
    const all = Array.from(this.#used.keys());
    this.#used.clear();
    this.#pending.clear();
    this.#outdated.clear();
    return all;
  }

  restore(statements: readonly PreparedStatement[]): void {
    for (const statement of statements) this.add(statement);
  }
}
