/**
 * Lets one client's prepared statements work on whichever server connection it has: names are
 * mapped to shared ones, a missing statement is parsed in front of its use, one that is there
 * already is answered without asking the server.
 * Owns: rewriting Parse, Bind, Describe and Close of named statements. Leaves: DEALLOCATE to
 * giving-up.ts, the order of replies to outstanding.ts, which are on a server connection to the
 * lease.
 * Source: PostgreSQL manual, "Extended Query" in Message Flow.
 */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { DROP, FORWARD, HOLD, REPLACE } from '../../../wire/postgres/frame-scanner.ts';
import type { FrameVerdict, Replacement } from '../../../wire/postgres/frame-scanner.ts';
import { TRANSACTION_FAILED } from '../../../wire/postgres/message-types.ts';
import { encodePostgresError } from '../../client-error.ts';
import { BIND, CLOSE, DESCRIBE, PARSE, QUERY } from '../outstanding.ts';
import type { Outstanding } from '../outstanding.ts';
import type { StatementKind, TextEffects } from '../sql/effects.ts';
import type { Undo } from '../statement-watch.ts';
import type { BackendStatements } from './backend-statements.ts';
import { ClientStatements } from './client-statements.ts';
import { givenUpBy, GivingUp } from './giving-up.ts';
import type { GivenUp } from './giving-up.ts';
import { closeMessage, failingParse, frameHead, parseMessage } from './messages.ts';
import { readNames, statementName, TARGET_STATEMENT } from './names.ts';
import type { Names } from './names.ts';
import { ParsedElsewhere } from './parsed-elsewhere.ts';
import { Replay } from './replay.ts';
import { NAME_PREFIX } from './statement-catalogue.ts';
import type { PreparedStatement, StatementCatalogue } from './statement-catalogue.ts';

/** The lease as far as prepared statements are concerned. */
export interface PreparedLease {
  readonly outstanding: Outstanding;
  readonly statements: BackendStatements;
  /** The use of a statement that was sent last, while it can be sent again. */
  replay: Replay | undefined;
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
export interface Found {
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
  readonly #givingUp: GivingUp;
  /** What the client parses on connections that it does not own. */
  readonly elsewhere: ParsedElsewhere;
  #replacement: Replacement = { bytes: Buffer.alloc(0), bodySkipped: 0 };

  constructor(catalogue: StatementCatalogue, limits: PreparedLimits, watcher: TextWatcher) {
    this.#catalogue = catalogue;
    this.#limits = limits;
    this.#watcher = watcher;
    const mine = new ClientStatements(limits.perClientMax);
    this.#mine = mine;
    this.elsewhere = new ParsedElsewhere(catalogue, mine);
    this.#givingUp = new GivingUp({
      catalogue,
      mine,
      find: (name, lease) => this.#find(name, lease),
      discarded: () => watcher.discarded(),
    });
  }

  /** For the scanner, after REPLACE. */
  replacement(): Replacement {
    return this.#replacement;
  }

  /** What the client calls a shared statement; undefined when it is none of its own. */
  ownName(shared: string): string | undefined {
    return this.#mine.nameOf(shared);
  }

  /** The client's statement of this name. */
  statementOf(name: string): PreparedStatement | undefined {
    return this.#mine.get(name);
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
    // In a failed transaction the server refuses nearly every Parse, whether it has the statement
    // or not.
    const isTaken = lease.backend.transactionStatus !== TRANSACTION_FAILED || endsFailed(effects);
    if (statements.use(statement) && isTaken) {
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
    const room = this.#makeRoom(lease, statement);
    const { outstanding, statements } = lease;
    const before = statements.has(statement) ? 'there' : 'missing';
    statements.expect(statement, outstanding.batch);
    const undo = () => {
      // In a failed transaction the server refuses a Parse of what it has, and keeps it.
      if (before === 'there') statements.confirm(statement);
      else statements.delete(statement);
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
    const { statement } = found;
    const undo = statement && this.#watcher.binds(statement.effects, portal);
    this.#givingUp.binds(statement && givenUpBy(statement.effects), portal, lease);
    const skipped = names.end - bodyStart;
    const head = frameHead(type, [portal, found.name], bodyLength - skipped);
    const bytes = found.before.length === 0 ? head : Buffer.concat([...found.before, head]);
    lease.replay =
      statement === undefined || lease.outstanding.hasExecuted
        ? undefined
        : new Replay(statement, bytes, head);
    const outdated = () => statement && lease.statements.outdated(statement);
    lease.outstanding.sent(BIND, 'client', { undo: undo ?? nothing, name, outdated });
    return this.#replace(bytes, skipped);
  }

  /** A whole Describe of a named statement. */
  describe(message: ClientMessage, lease: PreparedLease): FrameVerdict | 'unnamed' {
    const name = statementName(message.buffer, message.bodyStart, message.bodyEnd);
    if (name === undefined) return 'unnamed';
    const found = this.#find(name, lease);
    if (found === undefined) return HOLD;
    const { statement } = found;
    const outdated = () => statement && lease.statements.outdated(statement);
    lease.outstanding.sent(DESCRIBE, 'client', { undo: nothing, name, outdated });
    const head = frameHead(message.type, [TARGET_STATEMENT + found.name], 0);
    return this.#replace(Buffer.concat([...found.before, head]), message.bodyLength);
  }

  /**
   * A whole Close of a named statement: the name is the client's to give up, the statement stays
   * for others.
   */
  close(message: ClientMessage, lease: PreparedLease): FrameVerdict | 'unnamed' {
    const name = statementName(message.buffer, message.bodyStart, message.bodyEnd);
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

  /** A simple Query that gives statements up. */
  giveUp(
    message: ClientMessage,
    lease: PreparedLease,
    what: GivenUp,
    isOnly: boolean,
  ): FrameVerdict | 'not_ours' {
    if (typeof what === 'object') {
      const undo = () => this.#watcher.forgetUnnamed();
      return this.#inPlaceOf(message, this.#givingUp.query(what.name, lease, undo));
    }
    if (this.#mine.anyUnsettled(lease.outstanding.batch)) return HOLD;
    const undo = this.#watcher.forgetUnnamed();
    this.#givingUp.all(what, lease, { kind: QUERY, undo, isOnly });
    return FORWARD;
  }

  /** A whole Parse of the unnamed statement that gives one up. @param parsed once it is sent */
  parseGivingUp(
    message: ClientMessage,
    lease: PreparedLease,
    name: string,
    parsed: () => Undo,
  ): FrameVerdict | 'not_ours' {
    return this.#inPlaceOf(message, this.#givingUp.parse(name, lease, parsed));
  }

  /** The unnamed statement is bound, which gives up `what`. */
  bindsUnnamed(what: GivenUp | undefined, portal: string, lease: PreparedLease): void {
    this.#givingUp.binds(what, portal, lease);
  }

  /** Whether the next Execute gives statements up. */
  get givesUpNext(): boolean {
    return this.#givingUp.isNext;
  }

  /** That Execute. @param sent to be called once it is sent */
  executes(lease: PreparedLease, sent: () => Undo | undefined): FrameVerdict {
    return this.#givingUp.executes(lease, sent);
  }

  #inPlaceOf<Else extends string | number>(
    message: ClientMessage,
    bytes: Buffer | Else,
  ): Else | typeof REPLACE {
    if (!Buffer.isBuffer(bytes)) return bytes;
    this.#replace(bytes, message.bodyLength);
    return REPLACE;
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
    const before = [...this.#makeRoom(lease, statement), parseMessage(statement)];
    lease.statements.expect(statement, lease.outstanding.batch);
    lease.outstanding.sent(PARSE, 'proxy', {
      name,
      undo: () => lease.statements.delete(statement),
      done: () => lease.statements.confirm(statement),
    });
    return { name: statement.name, before, statement };
  }

  /** What must be closed before `statement` is parsed. */
  #makeRoom(lease: PreparedLease, statement: PreparedStatement): readonly Buffer[] {
    const { outstanding, statements } = lease;
    const closed: PreparedStatement[] = [];
    if (statements.takeOutdated(statement)) {
      closed.push(statement);
      outstanding.sent(CLOSE, 'proxy', { undo: () => statements.outdated(statement) });
    }
    const surplus = statements.surplus(this.#limits.perBackendMax);
    if (surplus !== undefined) {
      closed.push(surplus);
      statements.delete(surplus);
      outstanding.sent(CLOSE, 'proxy', { undo: () => statements.add(surplus) });
    }
    return closed.map(closeMessage);
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

/** Whether a failed transaction takes the statement. Source: IsTransactionExitStmt. */
function endsFailed({ statements: [statement] }: TextEffects): boolean {
  return statement !== undefined && EXITS.has(statement.kind);
}

const EXITS: ReadonlySet<StatementKind> = new Set([
  'empty',
  'commit',
  'rollback',
  'rollback_to',
  'prepare_transaction',
]);
