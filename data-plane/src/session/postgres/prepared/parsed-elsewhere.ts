/**
 * A Parse of a named statement that runs on a connection its client does not own: what the name
 * will stand for if the server takes it.
 * Owns: the statement's use until the outcome is known. Leaves: a Parse that is refused for what
 * the client has, or how much, to prepared-relay.ts, which says why.
 */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { TextEffects } from '../sql/effects.ts';
import type { ClientStatements } from './client-statements.ts';
import type { PreparedStatement, StatementCatalogue } from './statement-catalogue.ts';

export class ParsedElsewhere {
  readonly #catalogue: StatementCatalogue;
  readonly #mine: ClientStatements;

  constructor(catalogue: StatementCatalogue, mine: ClientStatements) {
    this.#catalogue = catalogue;
    this.#mine = mine;
  }

  /**
   * The statement that a Parse makes, in use until `succeeded` or `failed`; undefined for a name
   * that is taken, or where there are as many statements as there may be.
   */
  begin(
    name: string,
    definition: Buffer,
    context: string,
    effects: TextEffects,
  ): PreparedStatement | undefined {
    if (this.#mine.get(name) !== undefined) return undefined;
    try {
      this.#mine.refuseWhenFull();
      return this.#catalogue.acquire(definition, context, effects);
    } catch (error) {
      if (error instanceof AppError) return undefined;
      throw error;
    }
  }

  succeeded(name: string, statement: PreparedStatement): void {
    this.#mine.set(name, statement);
    this.#mine.noteUse(name, statement);
  }

  failed(statement: PreparedStatement): void {
    this.#catalogue.release(statement);
  }
}
