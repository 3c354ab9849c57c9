/**
 * What one client's statements do to the session on the server, as far as their texts tell: whether
 * the client must keep its server connection (pin) and whether that is dirty afterwards.
 * Owns: the pin and its reason, the unnamed statement across transactions. Leaves: reading SQL to
 * sql/.
 */
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import { decodeParse } from '../../wire/postgres/frontend-messages.ts';
import { FRONTEND } from '../../wire/postgres/message-types.ts';
import type { Catalog } from '../../upstream/catalog/catalog.ts';
import type { TenantMeter } from '../meter.ts';
import type { LeaseCondition } from './leases.ts';
import { leavesClean, mayDefine } from './catalog-judgement.ts';
import { CLOSE, PARSE } from './outstanding.ts';
import { frameHead } from './prepared/messages.ts';
import { textEffects } from './sql/effects.ts';
import type { PinReason, TextEffects } from './sql/effects.ts';

/** A longer statement is not read: it pins the session and dirties the backend. */
export const TEXT_BYTES_MAX = 256 * 1024;
/** A COMMIT is short; so much of a Query or Parse is looked at in session mode. */
const COMMIT_BYTES_MAX = 64;
/** In a Query, or behind the name of a Parse. */
const COMMIT = /^(?:[^\0]*\0)?\s*(?:commit|end|prepare\s+transaction)\b/i;

export interface WatchOptions {
  readonly pooling: PoolMode;
  readonly meter: TenantMeter;
  /** Whether backslashes in plain strings are ordinary, as the server reports it. */
  readonly standardConformingStrings: boolean;
  /** What the client's own session parameters are, as `ParameterVector.key`. */
  readonly vectorKey: string;
}

/** A message to send first, and what the server will owe for it. */
export interface Restoration {
  readonly kind: typeof PARSE | typeof CLOSE;
  readonly message: Buffer;
}

export type UndoUnnamed = (outcome: 'failed' | 'skipped') => void;

/** The unnamed statement of a client, to be repeated on another backend. */
interface UnnamedStatement {
  readonly parse: Buffer;
  readonly effects: TextEffects;
}

interface UnnamedState {
  readonly statement: UnnamedStatement | undefined;
}

/** Of a client that has never used one; every later state is an object of its own. */
const NEVER_UNNAMED: UnnamedState = Object.freeze({ statement: undefined });

export class StatementWatch {
  readonly #options: WatchOptions;
  #pin: PinReason | undefined;
  #dirty = false;
  #committing = false;
  #defines = false;
  #catalog: Catalog | undefined;
  #unnamed: UnnamedState = NEVER_UNNAMED;
  /** Whether this lease's backend has that unnamed statement. */
  #unnamedHere = false;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** A lease begins in a database with this catalog. */
  leaseBegan(catalog: Catalog): void {
    this.#catalog = catalog;
  }

  /** Whether the client owns its backend beyond the transaction. */
  get keepsBackend(): boolean {
    return this.#options.pooling === 'session' || this.#pin !== undefined;
  }

  /**
   * The last statement sent ends a transaction: it must not be cancelled because its client is
   * gone.
   */
  get committing(): boolean {
    return this.#committing;
  }

  /** What the meaning of a statement depends on besides its text. */
  get parseContext(): string {
    return this.#options.vectorKey;
  }

  /** In session mode only short texts are looked at, to know a COMMIT. */
  looksForCommit(type: number, bodyLength: number): boolean {
    return (type === FRONTEND.Query || type === FRONTEND.Parse) && bodyLength <= COMMIT_BYTES_MAX;
  }

  /** A message that is not about a statement's text, or any message in session mode. */
  noText(
    type: number,
    bodyIsWhole: boolean,
    buffer: Buffer,
    bodyStart: number,
    bodyEnd: number,
  ): void {
    if (type === FRONTEND.FunctionCall) this.#dirty = true;
    if (type === FRONTEND.Query || type === FRONTEND.Parse) {
      this.#committing = bodyIsWhole && COMMIT.test(buffer.toString('latin1', bodyStart, bodyEnd));
    }
  }

  /** A text that is about to be run or parsed. */
  text(sql: string): TextEffects {
    const { standardConformingStrings } = this.#options;
    const effects = textEffects(sql, { standardConformingStrings });
    this.applies(effects);
    return effects;
  }

  /** A statement with these effects is about to be run. */
  applies(effects: TextEffects): void {
    this.#committing = effects.transactionAfter === 'idle';
    if (!leavesClean(effects, this.#catalog)) this.#dirty = true;
    if (mayDefine(effects)) this.#defining();
    if (effects.pin !== undefined) this.#pinned(effects.pin);
  }

  /** Before others see what is defined, and when the lease ends: then they do. */
  #defining(): void {
    this.#defines = true;
    this.#catalog?.invalidate();
  }

  /** A statement that is too long to be read. */
  unread(): void {
    this.#dirty = true;
    this.#defining();
    this.#pinned('unparsable');
  }

  /**
   * A simple Query, or Close, ends the unnamed statement. @returns how to take that back, if there
   * was one
   */
  forgetUnnamed(): UndoUnnamed | undefined {
    if (this.#unnamed === NEVER_UNNAMED) return undefined;
    // A Query that fails was begun all the same: the server has no unnamed statement either.
    return this.#setUnnamed(undefined, 'whatever_the_outcome');
  }

  /** A whole Parse of the unnamed statement. @returns how to take it back */
  unnamedParse(body: Buffer): UndoUnnamed {
    const effects = this.text(decodeParse(body, 0, body.length, 'latin1').sql);
    const parse = Buffer.concat([frameHead(FRONTEND.Parse, [], body.length), body]);
    return this.#setUnnamed({ parse, effects }, 'unless_it_fails');
  }

  /** @returns how to take it back; what was set since then stays */
  #setUnnamed(
    statement: UnnamedStatement | undefined,
    when: 'whatever_the_outcome' | 'unless_it_fails',
  ): UndoUnnamed {
    const [before, wasHere] = [this.#unnamed, this.#unnamedHere];
    const now = { statement };
    this.#unnamed = now;
    this.#unnamedHere = true;
    return (outcome) => {
      if (this.#unnamed !== now) return;
      if (outcome === 'skipped') [this.#unnamed, this.#unnamedHere] = [before, wasHere];
      // A Parse that fails has ended the former unnamed statement first.
      else if (when === 'unless_it_fails') this.#unnamed = { statement: undefined };
    };
  }

  /**
   * What to send before a use of the client's unnamed statement, where this backend does not have
   * it. What another client left under that name must never be run in its place.
   */
  unnamedToRestore(): Restoration | undefined {
    if (this.#unnamedHere) return undefined;
    this.#unnamedHere = true;
    const { statement } = this.#unnamed;
    if (statement === undefined) return NO_UNNAMED_STATEMENT;
    this.applies(statement.effects);
    return { kind: PARSE, message: statement.parse };
  }

  /** A parameter that the server reports has kept another value than before. */
  parametersChanged(): void {
    if (!this.keepsBackend) this.#pinned('set');
  }

  #pinned(reason: PinReason): void {
    if (this.keepsBackend) return;
    this.#pin = reason;
    this.#options.meter.pinned(reason);
  }

  /** In what condition the lease that ends leaves its backend; the next lease begins clean. */
  leaseEnded(): LeaseCondition {
    const condition = this.#dirty || this.keepsBackend ? 'dirty' : 'clean';
    if (this.#defines) this.#catalog?.invalidate();
    this.#defines = false;
    this.#dirty = false;
    this.#unnamedHere = false;
    return condition;
  }
}

/**
 * Closes what another client may have left: the server then says itself that there is no unnamed
 * statement.
 */
const NO_UNNAMED_STATEMENT: Restoration = Object.freeze({
  kind: CLOSE,
  message: frameHead(FRONTEND.Close, ['S'], 0),
});
