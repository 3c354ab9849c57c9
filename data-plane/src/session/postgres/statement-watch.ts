/**
 * What one client's statements do to the session on the server: which parameters the client has
 * then, whether it must keep its server connection (pin), and whether that is dirty afterwards.
 * Owns: the pin and its reason, the unnamed statement across transactions. Leaves: reading SQL to
 * sql/, what may have failed to state/.
 */
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import { FRONTEND, TRANSACTION_IDLE } from '../../wire/postgres/message-types.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import type { TenantMeter } from '../meter.ts';
import type { LeaseCondition } from './leases.ts';
import type { Target } from './services.ts';
import { leavesClean } from './catalog-judgement.ts';
import { Definitions } from './definitions.ts';
import { CLOSE, PARSE } from './outstanding.ts';
import type { Failure } from './outstanding.ts';
import { givesUpShared } from './prepared/giving-up.ts';
import { frameHead } from './prepared/messages.ts';
import { dirtied, UNPARSABLE } from './sql/effects.ts';
import { FIRST_USER_OID } from './sql/types.ts';
import type { PinReason, TextEffects } from './sql/effects.ts';
import type { ClientSettings } from './state/client-settings.ts';
import { LeaseEffects } from './state/lease-effects.ts';
import type { LostDefaults } from './state/lost-defaults.ts';
import { FOLLOWING } from './state/setting-changes.ts';
import type { SessionAnswer, SessionQuestion } from './state/session-questions.ts';
import { TextReader } from './text-reader.ts';

/** A longer statement is not read: it pins the session and dirties the backend. */
export const TEXT_BYTES_MAX = 256 * 1024;
/** A COMMIT is short; so much of a Query or Parse is looked at in session mode. */
const COMMIT_BYTES_MAX = 64;
/** In a Query, or behind the name of a Parse. */
const COMMIT = /^(?:[^\0]*\0)?\s*(?:commit|end|prepare\s+transaction)\b/i;

/** What is kept of the client's login. */
export interface WatchTerms {
  readonly pooling: PoolMode;
  readonly meter: TenantMeter;
}

/** A message to send first, and what the server will owe for it. */
export interface Restoration {
  readonly kind: typeof PARSE | typeof CLOSE;
  readonly message: Buffer;
}

/** To be called when something that was sent did not happen. */
export type Undo = (failure: Failure) => void;

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

/** Keeps clients apart whose parameters are in question. */
let lastClient = 0;
/** And statements that were parsed at different times. */
let lastMoment = 0;

export class StatementWatch {
  readonly texts = new TextReader();
  readonly #login: WatchTerms;
  readonly #settings: ClientSettings;
  readonly #effects: LeaseEffects;
  readonly #client = ++lastClient;
  #pin: PinReason | undefined;
  #dirty = false;
  /** It has sent a NOTIFY. */
  #notifies = false;
  #committing = false;
  readonly #definitions = new Definitions();
  #target: Target | undefined;
  #backend: PostgresBackend | undefined;
  #unnamed: UnnamedState = NEVER_UNNAMED;
  /** Whether this lease's backend has that unnamed statement. */
  #unnamedHere = false;

  constructor(login: WatchTerms, settings: ClientSettings) {
    this.#login = login;
    this.#settings = settings;
    this.#effects = new LeaseEffects(settings);
  }

  /** A lease of `backend`, which is from `target`, begins. */
  leaseBegan(backend: PostgresBackend, target: Target): void {
    this.#backend = backend;
    this.#target = target;
    this.#definitions.leaseBegan(target.catalog);
    this.texts.leaseBegan(backend);
    this.#effects.begin(backend.vector);
  }

  /** Whether the client owns its backend beyond the transaction. */
  get keepsBackend(): boolean {
    return this.#login.pooling === 'session' || this.#pin !== undefined;
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
    const { parsingKey } = this.#settings.vector;
    return this.#effects.changesParsing === 'nothing'
      ? parsingKey
      : `${this.#client} ${parsingKey}`;
  }

  /** The same for `sql`; no other statement has it when its meaning is a matter of its time. */
  parseContextOf(sql: string): string {
    const { parseContext } = this;
    return this.texts.namesMoment(sql) ? `at ${++lastMoment} ${parseContext}` : parseContext;
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

  /** A batch that ran elsewhere has parsed this unnamed statement, or failed to. */
  unnamedParsedElsewhere(statement: UnnamedStatement | undefined): void {
    this.#unnamed = { statement };
    this.#unnamedHere = false;
  }

  /**
   * A text is about to be parsed. Its literals become values then, and parameters when it is bound:
   * of types whose checks may be anybody's code. @returns what running it does
   */
  parses(effects: TextEffects, parameterTypes: readonly number[]): TextEffects {
    if (!leavesClean(effects, this.#target?.catalog)) this.#dirty = true;
    const areOwn = parameterTypes.every((oid) => oid < FIRST_USER_OID);
    return areOwn || effects.cleanliness === 'dirty' ? effects : dirtied(effects);
  }

  /** A simple Query with these effects is about to be sent. @returns to be called if it fails */
  runs(effects: TextEffects): Undo | undefined {
    this.#leaves(effects);
    return isPlain(effects) ? undefined : this.#effects.runs(effects);
  }

  /** A Bind of a statement with these effects. @returns to be called if it fails */
  binds(effects: TextEffects, portal: string): Undo | undefined {
    this.#leaves(effects);
    return isPlain(effects) ? this.#effects.bindsPlain() : this.#effects.binds(effects, portal);
  }

  /** A Bind of the client's unnamed statement. */
  bindsUnnamed(portal: string): Undo | undefined {
    const { statement } = this.#unnamed;
    return statement && this.binds(statement.effects, portal);
  }

  /** An Execute is about to be sent. @returns to be called if it fails */
  executes(): Undo | undefined {
    return this.#effects.executes();
  }

  #leaves(effects: TextEffects): void {
    this.#committing = effects.transactionAfter === 'idle';
    if (!leavesClean(effects, this.#target?.catalog)) this.#dirty = true;
    if (effects.notifies) this.#notifies = true;
    this.#definitions.sent(effects);
    // A shared statement that its own client does not know of: it is there for others no more.
    if (givesUpShared(effects)) this.#dirty = true;
    if (effects.changesParsing === 'lexing') this.texts.changes();
  }

  /** Whether notifications may come of this lease, with a statement of these effects. */
  mayNotify(effects: TextEffects): boolean {
    if (this.#dirty || this.#notifies || effects.notifies) return true;
    return !leavesClean(effects, this.#target?.catalog);
  }

  /** What the client's unnamed statement does. */
  get unnamedEffects(): TextEffects | undefined {
    return this.#unnamed.statement?.effects;
  }

  /** A statement that is too long to be read. @returns to be called if it fails */
  unread(): Undo | undefined {
    this.#unnamed = { statement: undefined };
    return this.runs(UNPARSABLE);
  }

  /**
   * A simple Query, or Close, ends the unnamed statement. @returns how to take that back, if there
   * was one
   */
  forgetUnnamed(): Undo | undefined {
    if (this.#unnamed === NEVER_UNNAMED) return undefined;
    // A Query that fails was read all the same: the server has no unnamed statement either.
    return this.#setUnnamed(undefined, 'whatever_the_outcome');
  }

  /** A whole Parse of the unnamed statement. @returns how to take it back */
  unnamedParse(body: Buffer, effects: TextEffects): Undo {
    const parse = Buffer.concat([frameHead(FRONTEND.Parse, [], body.length), body]);
    return this.#setUnnamed({ parse, effects }, 'unless_it_fails');
  }

  /** @returns how to take it back; what was set since then stays */
  #setUnnamed(
    statement: UnnamedStatement | undefined,
    when: 'whatever_the_outcome' | 'unless_it_fails',
  ): Undo {
    const [before, wasHere] = [this.#unnamed, this.#unnamedHere];
    const now = { statement };
    this.#unnamed = now;
    this.#unnamedHere = true;
    return (failure) => {
      if (this.#unnamed !== now) return;
      if (failure === 'skipped') [this.#unnamed, this.#unnamedHere] = [before, wasHere];
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
    return { kind: PARSE, message: statement.parse };
  }

  /** The client is gone. */
  end(): void {
    this.#definitions.transactionOver();
  }

  /** A Query of the proxy's own has ended it on this backend; the client's is still there. */
  unnamedEnded(): void {
    this.#unnamedHere = false;
  }

  // ---- what has happened ----

  /** No parameter, and nothing to be pinned for, is in question. */
  get isSettled(): boolean {
    return this.#effects.isUntouched;
  }

  /** The server has answered a message with an error. */
  failed(): void {
    this.#login.meter.errorAnswered('server');
    this.#effects.failed();
  }

  /** Everything that was sent is answered. */
  quiet(): void {
    this.texts.settled();
    if (this.#backend?.transactionStatus === TRANSACTION_IDLE) this.#definitions.transactionOver();
  }

  /** Parameters that the server reports have other values than when the lease began. */
  parametersChanged(names: readonly string[]): void {
    const unforeseen = names.filter((name) => !this.#effects.hasTouched(name.toLowerCase()));
    if (unforeseen.some((name) => !FOLLOWING.has(name))) this.#effects.unforeseen();
  }

  /** What the backend must be given back before the client's next batch. */
  get lost(): LostDefaults {
    return this.#effects.lost;
  }

  /** It was given back. */
  restored(): void {
    this.#effects.restored();
  }

  /** Whether the texts tell what has happened in this lease. */
  get isDoubtful(): boolean {
    return this.#effects.isDoubtful;
  }

  /** What to ask the server, between transactions, before `concludes`. */
  get question(): SessionQuestion | undefined {
    return this.#pin === undefined ? this.#effects.question : undefined;
  }

  /** Between transactions: what the lease has done so far holds from now on. */
  concludes(question?: SessionQuestion, answer?: SessionAnswer): void {
    if (this.#effects.isUntouched || this.#backend === undefined) return;
    const { mine, here, pin } = this.#effects.outcome(question, answer);
    this.#settings.vector = mine;
    this.#backend.vector = here;
    // The server's default is another than the one that init_sql has given the connection.
    if (this.#effects.hasReset && this.#backend.initSql !== undefined) this.#dirty = true;
    this.#effects.begin(here);
    if (pin !== undefined) this.#pinned(pin);
  }

  /** The question could not be answered: whatever is there, the client keeps it. */
  remainsUnknown(): void {
    this.#effects.begin(this.#settings.vector);
    this.#pinned('set_unparsable');
  }

  /** DISCARD ALL has succeeded: nothing holds the client any more. */
  discarded(): void {
    if (this.#pin === undefined || this.#pin === 'load') return;
    this.#pin = undefined;
    this.#dirty = true;
  }

  #pinned(reason: PinReason): void {
    if (this.keepsBackend) return;
    this.#pin = reason;
    this.#login.meter.pinned(reason);
  }

  /** In what condition the lease that ends leaves its backend; the next lease begins clean. */
  leaseEnded(): LeaseCondition {
    const isKnown = this.#effects.isUntouched && !this.keepsBackend;
    const isAlways = this.#target?.upstream.settings.serverReset === 'always';
    this.#definitions.transactionOver();
    const isDirty = this.#dirty || !isKnown || isAlways || this.#definitions.haveChanged;
    this.#dirty = false;
    this.texts.settled();
    this.#notifies = false;
    this.#unnamedHere = false;
    return isDirty ? 'dirty' : 'clean';
  }
}

/** Nothing that lease-effects.ts would have to know of. */
function isPlain(effects: TextEffects): boolean {
  return effects.pin === undefined && effects.touches.length === 0 && !effects.mayRollBack;
}

/**
 * Closes what another client may have left: the server then says itself that there is no unnamed
 * statement.
 */
const NO_UNNAMED_STATEMENT: Restoration = Object.freeze({
  kind: CLOSE,
  message: frameHead(FRONTEND.Close, ['S'], 0),
});
