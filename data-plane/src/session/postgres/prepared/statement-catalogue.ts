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

/** Of all clients of one tenant, database and server user. */
export interface CatalogueLimits {
  readonly statementsMax: number;
  /** Of their texts and types. */
  readonly bytesMax: number;
}

interface Entry {
  readonly statement: PreparedStatement;
  readonly key: string;
  /** Names of clients that stand for it. */
  uses: number;
}

export class StatementCatalogue {
  readonly #limits: () => CatalogueLimits;
  /** Of texts and types. */
  #bytes = 0;
  /**
   * Statements that no client names any more are kept, the one unused for longest first, up to the
   * limit.
   */
  readonly #byKey = new Map<string, Entry>();
  readonly #unused = new Map<string, Entry>();
  readonly #entries = new WeakMap<PreparedStatement, Entry>();

  /** @param limits as they are when a statement is added */
  constructor(limits: () => CatalogueLimits) {
    this.#limits = limits;
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
    this.#makeRoom(definition.length);
    lastNumber += 1;
    const name = NAME_PREFIX + lastNumber.toString(36);
    const statement = Object.freeze({ name, definition: Buffer.from(definition), effects });
    const entry = { statement, key, uses: 0 };
    this.#byKey.set(key, entry);
    this.#entries.set(entry.statement, entry);
    this.#bytes += definition.length;
    return entry;
  }

  /** Forgets unused statements until another of this size fits. */
  #makeRoom(bytes: number): void {
    const { statementsMax, bytesMax } = this.#limits();
    while (this.#byKey.size >= statementsMax || this.#bytes + bytes > bytesMax) {
      const [oldest] = this.#unused.values();
      if (oldest === undefined) {
        throw this.#byKey.size >= statementsMax
          ? full(`${this.#byKey.size} different statements`, `${statementsMax}`)
          : full(`statements of ${this.#bytes} bytes`, `${bytesMax} bytes`);
      }
      this.#unused.delete(oldest.key);
      this.#byKey.delete(oldest.key);
      this.#bytes -= oldest.statement.definition.length;
    }
  }
}

function full(present: string, most: string) {
  const message = `the clients of this user have prepared ${present}, and this one would be more`;
  return proxyErrors.fail('PREPARED_LIMIT', `${message} than there may be (${most})`, {
    hint:
      'Use parameters instead of literals, close statements that are not needed, or have the' +
      ' operator raise max_distinct_prepared_statements.',
  });
}
