/**
 * One client gives prepared statements up by SQL: DEALLOCATE and DISCARD ALL, as a simple Query or
 * as a statement that is parsed, bound and executed.
 * Owns: which names the client has afterwards, and which statements the server connection. Leaves:
 * Close to prepared-relay.ts, what else DISCARD ALL does to statement-watch.ts.
 * Source: PostgreSQL manual, DEALLOCATE and DISCARD; psycopg and JDBC send them as extended
 * messages.
 */
import { FORWARD, HOLD } from '../../../wire/postgres/frame-scanner.ts';
import { FRONTEND, TRANSACTION_FAILED } from '../../../wire/postgres/message-types.ts';
import { EXECUTE, PARSE, QUERY } from '../outstanding.ts';
import type { Consequence, RequestKind } from '../outstanding.ts';
import type { TextEffects } from '../sql/effects.ts';
import type { Undo } from '../statement-watch.ts';
import { EVERY_NAME } from './client-statements.ts';
import type { ClientStatements } from './client-statements.ts';
import { frameHead } from './messages.ts';
import type { Found, PreparedLease } from './prepared-relay.ts';
import { NAME_PREFIX } from './statement-catalogue.ts';
import type { PreparedStatement, StatementCatalogue } from './statement-catalogue.ts';

/** What a text gives up: all statements, all that a session has, or one statement. */
export type GivenUp = 'statements' | 'session' | { readonly name: string };

/** What a text gives up; of several statements in one, only whether they give up all. */
export function givenUpBy({ statements }: TextEffects): GivenUp | undefined {
  let all: 'statements' | 'session' | undefined;
  for (const statement of statements) {
    if (statement.kind === 'discard' && statement.what === 'all') return 'session';
    if (statement.kind !== 'deallocate') continue;
    if (statement.target === 'every') all = 'statements';
    else if (statements.length === 1) return statement.target;
  }
  return all;
}

/**
 * Whether a statement is given up by the name that all clients share, which its client has read
 * from pg_prepared_statements or guessed.
 */
export function givesUpShared(effects: TextEffects): boolean {
  const what = givenUpBy(effects);
  return typeof what === 'object' && what.name.startsWith(NAME_PREFIX);
}

export interface GivingUpParts {
  readonly catalogue: StatementCatalogue;
  readonly mine: ClientStatements;
  /** The shared name, and what must be sent before it can be used; undefined when not known yet. */
  readonly find: (name: string, lease: PreparedLease) => Found | undefined;
  /** DISCARD ALL has succeeded. */
  readonly discarded: () => void;
}

export class GivingUp {
  readonly #parts: GivingUpParts;
  /** By the statement that was bound last, once it is executed. */
  #bound: GivenUp | undefined;

  constructor(parts: GivingUpParts) {
    this.#parts = parts;
  }

  /**
   * A simple Query that is DEALLOCATE of `name`.
   * @param sent to be called once it is sent @returns what to send in its place
   */
  query(
    name: string,
    lease: PreparedLease,
    sent: () => Undo | undefined,
  ): Buffer | typeof HOLD | 'not_ours' {
    const one = this.#one(name, lease);
    if (typeof one !== 'object') return one;
    lease.outstanding.sent(QUERY, 'client', this.#giveUpOne(name, one.statement, lease, sent()));
    return Buffer.concat([...one.before, frameHead(FRONTEND.Query, [one.text], 0)]);
  }

  /**
   * A Parse of the unnamed statement as DEALLOCATE of `name`. Executed on another server connection
   * than this lease's it finds no such statement there, and says so.
   * @param parsed to be called once it is sent @returns what to send in its place
   */
  parse(name: string, lease: PreparedLease, parsed: () => Undo): Buffer | typeof HOLD | 'not_ours' {
    const one = this.#one(name, lease);
    if (typeof one !== 'object') return one;
    lease.outstanding.sent(PARSE, 'client', { undo: parsed() });
    const noTypes = Buffer.alloc(2);
    const head = frameHead(FRONTEND.Parse, ['', one.text], noTypes.length);
    return Buffer.concat([...one.before, head, noTypes]);
  }

  /** The statement that gives up `what`, or undefined for any other, is bound. */
  binds(what: GivenUp | undefined, portal: string, lease: PreparedLease): void {
    this.#bound = what;
    // It is not followed which Execute runs a portal with a name.
    if (what !== undefined && portal !== '') lease.outstanding.doubt();
  }

  /** Whether an Execute now would give something up: it runs what was bound last. */
  get isNext(): boolean {
    return this.#bound !== undefined;
  }

  /** That Execute. @param sent to be called once it is sent */
  executes(lease: PreparedLease, sent: () => Undo | undefined): typeof FORWARD | typeof HOLD {
    const { mine } = this.#parts;
    const { outstanding } = lease;
    const what = this.#bound;
    if (typeof what === 'string') {
      if (mine.anyUnsettled(outstanding.batch)) return HOLD;
      this.all(what, lease, { kind: EXECUTE, undo: sent(), isOnly: true });
    } else {
      const name = what?.name ?? '';
      if (mine.isUnsettled(name, outstanding.batch)) return HOLD;
      const statement = mine.get(name);
      const undo = sent();
      if (statement === undefined) outstanding.sent(EXECUTE, 'client', undo && { undo });
      else outstanding.sent(EXECUTE, 'client', this.#giveUpOne(name, statement, lease, undo));
    }
    this.#bound = undefined;
    return FORWARD;
  }

  /** Notes a message that gives up all. `isOnly`: its text does nothing else that could fail. */
  all(
    what: 'statements' | 'session',
    lease: PreparedLease,
    message: {
      readonly kind: RequestKind;
      readonly undo: Undo | undefined;
      readonly isOnly: boolean;
    },
  ): void {
    const { catalogue, mine, discarded } = this.#parts;
    const settled = mine.unsettle(EVERY_NAME, lease.outstanding.batch);
    const names = mine.clear();
    for (const statement of names.values()) catalogue.release(statement);
    const there = lease.statements.clear();
    const undo: Undo = (failure) => {
      settled();
      message.undo?.(failure);
      for (const statement of names.values()) catalogue.retain(statement);
      mine.restore(names);
      lease.statements.restore(there);
      // Prepared statements do not come back with a transaction that is rolled back.
      if (!message.isOnly && failure === 'failed') lease.outstanding.doubt();
    };
    const done = () => {
      settled();
      if (what === 'session') discarded();
    };
    lease.outstanding.sent(message.kind, 'client', { undo, done });
  }

  /** One of the client's own protocol-level statements, as the server is to be told of it. */
  #one(
    name: string,
    lease: PreparedLease,
  ):
    | { readonly statement: PreparedStatement; readonly before: readonly Buffer[]; text: string }
    | typeof HOLD
    | 'not_ours' {
    const { mine, find } = this.#parts;
    if (mine.isUnsettled(name, lease.outstanding.batch)) return HOLD;
    const isAborted = lease.backend.transactionStatus === TRANSACTION_FAILED;
    if (mine.get(name) === undefined || isAborted) return 'not_ours';
    const found = find(name, lease);
    if (found === undefined) return HOLD;
    if (found.statement === undefined) return 'not_ours';
    return { statement: found.statement, before: found.before, text: `DEALLOCATE "${found.name}"` };
  }

  #giveUpOne(
    name: string,
    statement: PreparedStatement,
    lease: PreparedLease,
    undoMessage: Undo | undefined,
  ): Consequence {
    const { catalogue, mine } = this.#parts;
    mine.delete(name);
    const settled = mine.unsettle(name, lease.outstanding.batch);
    catalogue.release(statement);
    lease.statements.delete(statement);
    const undo: Undo = (failure) => {
      settled();
      undoMessage?.(failure);
      catalogue.retain(statement);
      mine.set(name, statement);
      lease.statements.add(statement);
    };
    return { undo, done: settled };
  }
}
