/**
 * One client's names for prepared statements. Like backend-statements.ts it is ahead of the
 * server's replies.
 */
import { proxyErrors } from '../../../errors.ts';
import type { PreparedStatement, StatementCatalogue } from './statement-catalogue.ts';

const LAST_NAMES_MAX = 1_000;
/** Stands for all names: no client can use it, names end at a zero byte. */
export const EVERY_NAME = '\0';

export class ClientStatements {
  readonly #statementsMax: number;
  #byName = new Map<string, PreparedStatement>();
  /**
   * Names whose state rests on messages that the server has not answered, with their latest batch.
   */
  readonly #unsettled = new Map<string, { batch: number; messages: number }>();
  /** The name under which each shared statement was used last, for error texts. */
  readonly #lastNames = new Map<string, string>();

  constructor(statementsMax: number) {
    this.#statementsMax = statementsMax;
  }

  get(name: string): PreparedStatement | undefined {
    return this.#byName.get(name);
  }

  /** What this client calls the statement of a shared name. */
  nameOf(shared: string): string | undefined {
    return this.#lastNames.get(shared);
  }

  /** @throws AppError PREPARED_LIMIT */
  refuseWhenFull(): void {
    if (this.#byName.size < this.#statementsMax) return;
    const message = `this client has ${this.#byName.size} prepared statements`;
    const limit = `as many as it may have (${this.#statementsMax})`;
    throw proxyErrors.fail('PREPARED_LIMIT', `${message}, ${limit}`, {
      hint:
        'Close statements that are not needed any more (Close, DEALLOCATE), or have the operator' +
        ' raise max_client_prepared_statements.',
    });
  }

  set(name: string, statement: PreparedStatement): void {
    this.#byName.set(name, statement);
  }

  delete(name: string): void {
    this.#byName.delete(name);
  }

  /** `statement` is used as `name`: errors are told in these words. */
  noteUse(name: string, statement: PreparedStatement): void {
    if (this.#lastNames.size >= LAST_NAMES_MAX) this.#lastNames.clear();
    this.#lastNames.set(statement.name, name);
  }

  /**
   * Whether what is assumed of `name` rests on a message of another batch: it may fail without this
   * one failing.
   */
  isUnsettled(name: string, batch: number): boolean {
    const unsettled = this.#unsettled.get(name) ?? this.#unsettled.get(EVERY_NAME);
    return unsettled !== undefined && unsettled.batch !== batch;
  }

  /** Whether any name rests on a message of another batch. */
  anyUnsettled(batch: number): boolean {
    for (const unsettled of this.#unsettled.values()) if (unsettled.batch !== batch) return true;
    return false;
  }

  /** A message that changes `name` is sent. @returns to be called when its outcome is known */
  unsettle(name: string, batch: number): () => void {
    const unsettled = this.#unsettled.get(name) ?? { batch, messages: 0 };
    unsettled.batch = batch;
    unsettled.messages += 1;
    this.#unsettled.set(name, unsettled);
    return () => {
      unsettled.messages -= 1;
      if (unsettled.messages === 0) this.#unsettled.delete(name);
    };
  }

  /** DEALLOCATE ALL or DISCARD ALL. @returns the names as they were, for `restore` */
  clear(): ReadonlyMap<string, PreparedStatement> {
    const all = this.#byName;
    this.#byName = new Map();
    return all;
  }

  /** Takes a `clear` back; names given since then stay. */
  restore(all: ReadonlyMap<string, PreparedStatement>): void {
    this.#byName = new Map([...all, ...this.#byName]);
  }

  /** The client is gone. */
  releaseAll(catalogue: StatementCatalogue): void {
    for (const statement of this.#byName.values()) catalogue.release(statement);
    this.#byName.clear();
  }
}
