/**
 * Every distinct prepared statement of one pool's clients, under one name that all its server
 * connections share. Two statements are one when text, parameter types and the parameters that
 * matter to parsing are equal in full; a hash alone never decides. A catalogue belongs to one pool,
 * so nothing is shared across server users or databases.
 * Owns: names and their number. Leaves: who uses them to client-statements.ts, where they are to
 * backend-statements.ts.
 */
import { proxyErrors } from '../../../errors.ts';
import type { TextEffects } from '../sql/effects.ts';

export interface PreparedStatement {
  /** Its name on every server connection that has it. */
  readonly name: string;
  /** What a Parse says behind the name: text and parameter types, as the client sent them. */
  readonly definition: Buffer;
  /** What running it does to the session. */
  readonly effects: TextEffects;
}

/**
 * No client's own name begins like this without being refused, so that names cannot be guessed
 * across clients.
 */
export const NAME_PREFIX = 'dbb_ps_';

/** Over all catalogues, so that a name never means two things on one server connection. */
let lastNumber = 0;

interface Entry {
  readonly statement: PreparedStatement;
  readonly key: string;
  /** Names of clients that stand for it. */
  uses: number;
}

export class StatementCatalogue {
  readonly #statementsMax: number;
  /**
   * Statements that no client names any more are kept, the one unused for longest first, up to the
   * limit.
   */
  readonly #byKey = new Map<string, Entry>();
  readonly #unused = new Map<string, Entry>();
  readonly #entries = new WeakMap<PreparedStatement, Entry>();

  constructor(statementsMax: number) {
    this.#statementsMax = statementsMax;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /**
   * The statement of this definition, counted as used once more. @param context what else its
   * meaning depends on.
   * @throws AppError PREPARED_LIMIT when clients name as many different ones as there may be
   */
  acquire(definition: Buffer, context: string, effects: TextEffects): PreparedStatement {
    const key = `${context}\0${definition.toString('latin1')}`;
    const entry = this.#byKey.get(key) ?? this.#add(key, definition, effects);
    this.retain(entry.statement);
    return entry.statement;
  }

  /** Counts one more use of a statement that is known already. */
  retain(statement: PreparedStatement): void {
    const entry = this.#entries.get(statement);
    if (entry === undefined) return;
    entry.uses += 1;
    this.#unused.delete(entry.key);
  }

  release(statement: PreparedStatement): void {
    const entry = this.#entries.get(statement);
    if (entry === undefined) return;
    entry.uses -= 1;
    if (entry.uses === 0 && this.#byKey.get(entry.key) === entry) {
      this.#unused.set(entry.key, entry);
    }
  }

  #add(key: string, definition: Buffer, effects: TextEffects): Entry {
    if (this.#byKey.size >= this.#statementsMax) this.#makeRoom();
    lastNumber += 1;
    const name = NAME_PREFIX + lastNumber.toString(36);
    const statement = Object.freeze({ name, definition: Buffer.from(definition), effects });
    const entry = { statement, key, uses: 0 };
    this.#byKey.set(key, entry);
    this.#entries.set(entry.statement, entry);
    return entry;
  }

  #makeRoom(): void {
    const [oldest] = this.#unused;
    if (oldest === undefined) {
      const message = `clients have prepared ${this.#byKey.size} different statements`;
      const limit = `as many as there may be (${this.#statementsMax})`;
      throw proxyErrors.fail('PREPARED_LIMIT', `${message}, ${limit}`, {
        hint: 'Use parameters instead of literals, or close statements not needed.',
      });
    }
    this.#unused.delete(oldest[0]);
    this.#byKey.delete(oldest[0]);
  }
}
