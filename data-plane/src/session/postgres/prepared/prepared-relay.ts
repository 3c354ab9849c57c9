/**
 * Lets one client's prepared statements work on whichever server connection it has: names are
 * mapped to shared ones, a missing statement is parsed in front of its use, one that is there
 * already is answered without asking the server.
 * Owns: rewriting Parse, Bind, Describe, Close and DEALLOCATE of named statements. Leaves: the
 * order of replies to outstanding.ts, which are on a server connection to the lease.
 * Source: PostgreSQL manual, "Extended Query" in Message Flow; DEALLOCATE and DISCARD in "SQL
 * Commands".
 */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { DROP, FORWARD, HOLD, REPLACE } from '../../../wire/postgres/frame-scanner.ts';
import type { FrameVerdict, Replacement } from '../../../wire/postgres/frame-scanner.ts';
import { TRANSACTION_FAILED } from '../../../wire/postgres/message-types.ts';
import { encodePostgresError } from '../../client-error.ts';
import { BIND, CLOSE, DESCRIBE, PARSE, QUERY } from '../outstanding.ts';
import type { Outstanding } from '../outstanding.ts';
import type { TextEffects } from '../sql/effects.ts';
import type { Undo } from '../statement-watch.ts';
import type { BackendStatements } from './backend-statements.ts';
import { ClientStatements, EVERY_NAME } from './client-statements.ts';
import { closeMessage, failingParse, frameHead, parseMessage } from './messages.ts';
import { readNames, TARGET_STATEMENT } from './names.ts';
import type { Names } from './names.ts';
import { NAME_PREFIX } from './statement-catalogue.ts';
import type { PreparedStatement, StatementCatalogue } from './statement-catalogue.ts';

/** The lease as far as prepared statements are concerned. */
export interface PreparedLease {
  readonly outstanding: Outstanding;
  readonly statements: BackendStatements;
  readonly backend: { readonly transactionStatus: number };
}

/** One message of the client, as the scanner gives it. */
export interface ClientMessage {
  readonly type: number;
  readonly buffer: Buffer;
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** As declared; more than `bodyEnd - bodyStart` when not all has arrived. */
  readonly bodyLength: number;
}

export interface PreparedLimits {
  /** Named statements of one client. */
  readonly perClientMax: number;
  /** Statements on one server connection; beyond it the least recently used is closed. */
  readonly perBackendMax: number;
}

/** Hears which texts are parsed and which statements are run. */
export interface TextWatcher {
  /** A statement is bound. @returns how to take it back */
  binds(effects: TextEffects, portal: string): Undo | undefined;
  /** A simple Query is sent. @returns how to take it back */
  forgetUnnamed(): Undo | undefined;
  /** DISCARD ALL has succeeded. */
  discarded(): void;
}

/** A statement that can be used in this place. */
interface Found {
  readonly name: string;
  /** What must be sent first. */
  readonly before: readonly Buffer[];
  /** Undefined for one that the client does not have: the server says so. */
  readonly statement: PreparedStatement | undefined;
}

const nothing = () => {};

export class PreparedRelay {
  readonly #catalogue: StatementCatalogue;
  readonly #limits: PreparedLimits;
  readonly #watcher: TextWatcher;
  readonly #mine: ClientStatements;
  #replacement: Replacement = { bytes: Buffer.alloc(0), bodySkipped: 0 };

  constructor(catalogue: StatementCatalogue, limits: PreparedLimits, watcher: TextWatcher) {
    this.#catalogue = catalogue;
    this.#limits = limits;
    this.#watcher = watcher;
    this.#mine = new ClientStatements(limits.perClientMax);
  }

  /** For the scanner, after REPLACE. */
  replacement(): Replacement {
    return this.#replacement;
  }

  /** What the client calls a shared statement; undefined when it is none of its own. */
  ownName(shared: string): string | undefined {
    return this.#mine.nameOf(shared);
  }

  /** What the client's statement of this name does. */
  effectsOf(name: string): TextEffects | undefined {
    return this.#mine.get(name)?.effects;
  }

  /** The client is gone. */
  end(): void {
    this.#mine.releaseAll(this.#catalogue);
  }

  /**
   * A whole Parse of a named statement.
   * @param effects those of its text
   * @param context what the meaning of the text depends on besides itself.
   */
  parse(
    message: ClientMessage,
    lease: PreparedLease,
    effects: TextEffects,
    context: string,
  ): FrameVerdict {
    const { buffer, bodyStart, bodyEnd } = message;
    const [name = ''] = readNames(buffer, bodyStart, bodyEnd, 1)?.texts ?? [];
    if (this.#mine.isUnsettled(name, lease.outstanding.batch)) return HOLD;
    if (this.#mine.get(name) !== undefined) return this.#parseAgain(message, lease, name);
    let statement: PreparedStatement;
    try {
      this.#mine.refuseWhenFull();
      const definition = buffer.subarray(bodyStart + name.length + 1, bodyEnd);
      statement = this.#catalogue.acquire(definition, context, effects);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return this.#fail(message, lease, encodePostgresError(error, 'ERROR'));
    }
    const { outstanding, statements } = lease;
    const isKnown = outstanding.earlierBatchesDone || !statements.has(statement);
    if (!isKnown || statements.isUnsettled(statement, outstanding.batch)) {
      // Whether the server would take the Parse depends on how earlier batches end.
      this.#catalogue.release(statement);
      return HOLD;
    }
    this.#mine.set(name, statement);
    this.#mine.noteUse(name, statement);
    const settled = this.#mine.unsettle(name, lease.outstanding.batch);
    const forget = () => {
      settled();
      this.#mine.delete(name);
      this.#catalogue.release(statement);
    };
    // In a failed transaction the server refuses every Parse, also one whose statement it has.
    const isThere = statements.use(statement);
    if (isThere && lease.backend.transactionStatus !== TRANSACTION_FAILED) {
      lease.outstanding.sent(PARSE, 'locally', { undo: forget, done: settled });
      return DROP;
    }
    return this.#sendParse(message, lease, statement, { forget, settled });
  }

  #sendParse(
    message: ClientMessage,
    lease: PreparedLease,
    statement: PreparedStatement,
    outcome: { readonly forget: () => void; readonly settled: () => void },
  ): FrameVerdict {
    const room = this.#makeRoom(lease);
    const { outstanding, statements } = lease;
    statements.expect(statement, outstanding.batch);
    const undo = () => {
      lease.statements.delete(statement);
      outcome.forget();
    };
    lease.outstanding.sent(PARSE, 'client', {
      undo,
      done: () => {
        statements.confirm(statement);
        outcome.settled();
      },
    });
    const bytes = Buffer.concat([...room, parseMessage(statement)]);
    return this.#replace(bytes, message.bodyLength);
  }

  /** A Bind of a named statement; the parameters behind the names pass as they are. */
  bind(message: ClientMessage, lease: PreparedLease, names: Names): FrameVerdict {
    const { type, bodyStart, bodyLength } = message;
    const [portal = '', name = ''] = names.texts;
    const found = this.#find(name, lease);
    if (found === undefined) return HOLD;
    const undo = found.statement && this.#watcher.binds(found.statement.effects, portal);
    lease.outstanding.sent(BIND, 'client', { undo: undo ?? nothing, name });
    const skipped = names.end - bodyStart;
    const head = frameHead(type, [portal, found.name], bodyLength - skipped);
    return this.#replace(Buffer.concat([...found.before, head]), skipped);
  }

  /** A whole Describe of a named statement. */
  describe(message: ClientMessage, lease: PreparedLease): FrameVerdict | 'unnamed' {
    const name = statementName(message);
    if (name === undefined) return 'unnamed';
    const found = this.#find(name, lease);
    if (found === undefined) return HOLD;
    lease.outstanding.sent(DESCRIBE, 'client', { undo: () => {}, name });
    const head = frameHead(message.type, [TARGET_STATEMENT + found.name], 0);
    return this.#replace(Buffer.concat([...found.before, head]), message.bodyLength);
  }

  /**
   * A whole Close of a named statement: the name is the client's to give up, the statement stays
   * for others.
   */
  close(message: ClientMessage, lease: PreparedLease): FrameVerdict | 'unnamed' {
    const name = statementName(message);
    if (name === undefined) return 'unnamed';
    const { batch } = lease.outstanding;
    if (this.#mine.isUnsettled(name, batch)) return HOLD;
    const statement = this.#mine.get(name);
    this.#mine.delete(name);
    const settled = this.#mine.unsettle(name, batch);
    const undo = () => {
      settled();
      if (statement === undefined) return;
      this.#catalogue.retain(statement);
      this.#mine.set(name, statement);
    };
    if (statement !== undefined) this.#catalogue.release(statement);
    lease.outstanding.sent(CLOSE, 'locally', { undo, done: settled });
    return DROP;
  }

  /** A simple Query that is DEALLOCATE of one of the client's own protocol-level statements. */
  deallocate(
    message: ClientMessage,
    lease: PreparedLease,
    name: string,
  ): FrameVerdict | 'not_ours' {
    const { batch } = lease.outstanding;
    if (this.#mine.isUnsettled(name, batch)) return HOLD;
    const statement = this.#mine.get(name);
    if (statement === undefined || lease.backend.transactionStatus === TRANSACTION_FAILED) {
      return 'not_ours';
    }
    const found = this.#find(name, lease);
    if (found === undefined) return HOLD;
    const { before } = found;
    this.#mine.delete(name);
    const settled = this.#mine.unsettle(name, batch);
    this.#catalogue.release(statement);
    lease.statements.delete(statement);
    const undoUnnamed = this.#watcher.forgetUnnamed();
    lease.outstanding.sent(QUERY, 'client', {
      done: settled,
      undo: (outcome) => {
        settled();
        undoUnnamed?.(outcome);
        this.#catalogue.retain(statement);
        this.#mine.set(name, statement);
        lease.statements.add(statement);
      },
    });
    const sql = Buffer.from(`DEALLOCATE "${statement.name}"\0`);
    const head = frameHead(message.type, [], sql.length);
    return this.#replace(Buffer.concat([...before, head, sql]), message.bodyLength);
  }

  /** A simple Query that is DEALLOCATE ALL or DISCARD ALL: nothing is left, unless it fails. */
  deallocateAll(lease: PreparedLease, what: 'statements' | 'session'): FrameVerdict {
    const { batch } = lease.outstanding;
    if (this.#mine.anyUnsettled(batch)) return HOLD;
    const settled = this.#mine.unsettle(EVERY_NAME, batch);
    const mine = this.#mine.clear();
    for (const statement of mine.values()) this.#catalogue.release(statement);
    const there = lease.statements.clear();
    const undoUnnamed = this.#watcher.forgetUnnamed();
    const undo: Undo = (outcome) => {
      settled();
      undoUnnamed?.(outcome);
      for (const statement of mine.values()) this.#catalogue.retain(statement);
      this.#mine.restore(mine);
      lease.statements.restore(there);
    };
    const done = () => {
      settled();
      if (what === 'session') this.#watcher.discarded();
    };
    lease.outstanding.sent(QUERY, 'client', { undo, done });
    return FORWARD;
  }

  /**
   * The shared name, and what must be sent before it can be used; undefined when it is not known
   * yet.
   */
  #find(name: string, lease: PreparedLease): Found | undefined {
    if (this.#mine.isUnsettled(name, lease.outstanding.batch)) return undefined;
    const statement = this.#mine.get(name);
    // The server says itself that there is no such statement, in its own words; not when the name
    // could be another's.
    if (statement === undefined) {
      const shown = name.startsWith(NAME_PREFIX) ? `${name}?` : name;
      return { name: shown, before: [], statement };
    }
    if (lease.statements.isUnsettled(statement, lease.outstanding.batch)) return undefined;
    this.#mine.noteUse(name, statement);
    if (lease.statements.use(statement)) return { name: statement.name, before: [], statement };
    const before = [...this.#makeRoom(lease), parseMessage(statement)];
    lease.statements.expect(statement, lease.outstanding.batch);
    lease.outstanding.sent(PARSE, 'proxy', {
      name,
      undo: () => lease.statements.delete(statement),
      done: () => lease.statements.confirm(statement),
    });
    return { name: statement.name, before, statement };
  }

  #makeRoom(lease: PreparedLease): readonly Buffer[] {
    const surplus = lease.statements.surplus(this.#limits.perBackendMax);
    if (surplus === undefined) return [];
    lease.statements.delete(surplus);
    lease.outstanding.sent(CLOSE, 'proxy', { undo: () => lease.statements.add(surplus) });
    return [closeMessage(surplus)];
  }

  /**
   * A Parse under a name that is taken: the server refuses it, for that or for what is wrong with
   * its text.
   */
  #parseAgain(message: ClientMessage, lease: PreparedLease, name: string): FrameVerdict {
    const { type, bodyLength } = message;
    const found = this.#find(name, lease);
    if (found === undefined) return HOLD;
    const { outstanding } = lease;
    outstanding.sent(PARSE, 'client', {
      name,
      undo: () => {},
      done: () => outstanding.doubt(),
    });
    const skipped = name.length + 1;
    const head = frameHead(type, [found.name], bodyLength - skipped);
    return this.#replace(Buffer.concat([...found.before, head]), skipped);
  }

  /**
   * Has the server fail the message, so that it skips and aborts as after any error, and tells the
   * client why.
   */
  #fail(message: ClientMessage, lease: PreparedLease, error: Buffer): FrameVerdict {
    lease.outstanding.sent(PARSE, 'client', { undo: () => {}, error });
    return this.#replace(failingParse(), message.bodyLength);
  }

  #replace(bytes: Buffer, bodySkipped: number): FrameVerdict {
    this.#replacement = { bytes, bodySkipped };
    return REPLACE;
  }
}

/**
 * The name of a statement that Describe or Close is about; undefined for portals and the unnamed
 * statement.
 */
function statementName({ buffer, bodyStart, bodyEnd }: ClientMessage): string | undefined {
  const names = readNames(buffer, bodyStart, bodyEnd, 1);
  const [text = ''] = names?.texts ?? [];
  const name = text.slice(1);
  return text.startsWith(TARGET_STATEMENT) && name !== '' ? name : undefined;
}
