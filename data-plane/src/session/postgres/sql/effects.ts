/**
 * What a query text does to the session that runs it: whether the client must keep its server
 * connection, whether that is clean for the next client, which parameters change. All of it holds
 * for the statements that succeed. A statement that fails leaves no setting behind; of a text that
 * the server refuses as a whole (syntax error, 42601) nothing has run. What a rollback undoes is
 * for the session to undo.
 * Owns: the conclusions of a whole text, and remembering them. Leaves: recognising to
 * statements.ts, single statements to statement-effects.ts, what names mean in a tenant's catalog
 * to whoever can look there.
 */
import { parsingEffect } from '../../../upstream/parameter-kinds.ts';
import type { ParsingEffect } from '../../../upstream/parameter-kinds.ts';
import { fingerprint } from './fingerprint.ts';
import type { QueryFacts } from './mentions.ts';
import type { QualifiedName } from './names.ts';
import { sharingOf, sharingOfFault } from './sharing.ts';
import type { Sharing } from './sharing.ts';
import { statementEffects, strongest } from './statement-effects.ts';
import type { Cleanliness, PinReason, SettingChange } from './statement-effects.ts';
import { recogniseStatements } from './statements.ts';
import type { Statement } from './statement.ts';
import { TextCache } from './text-cache.ts';
import type { TextCacheLimits } from './text-cache.ts';
import type { LexOptions } from './tokens.ts';

export type { Cleanliness, PinReason, SettingChange } from './statement-effects.ts';
export type { Sharing, TextRefusal } from './sharing.ts';
export type { Setting, Statement, StatementKind } from './statement.ts';
export type { QualifiedName } from './names.ts';

export interface TextEffects {
  /** In order; none when the text is unparsable. */
  readonly statements: readonly Statement[];
  /**
   * Whether it has the session listen on channels: `native` on its own backend, which it must keep
   * then, unless another listens for it. Of a text that another carries out: `carried`.
   */
  readonly listening: 'none' | 'native' | 'carried';
  /** Whether it sends notifications by name; what else may is not known to be clean. */
  readonly notifies: boolean;
  /** Why the session must keep its backend from here on. */
  readonly pin: PinReason | undefined;
  readonly cleanliness: Cleanliness;
  /** `cleanliness` is `dirty`. */
  readonly dirties: boolean;
  /** In order. Nothing of SET LOCAL. */
  readonly settings: readonly SettingChange[];
  /** Parameters that have other values afterwards, in lower case; which, the server knows. */
  readonly unsure: readonly string[];
  /** Parameters that it sets or resets, be it for the transaction only; `any`: others too. */
  readonly touches: readonly string[] | 'any';
  /** Parameters that have their defaults until the transaction ends. */
  readonly localDefaults: readonly string[];
  /** Whether parameters may change that the meaning of later texts depends on, if only for now. */
  readonly changesParsing: ParsingEffect;
  /** Whether it may undo what statements before it did in the same transaction. */
  readonly mayRollBack: boolean;
  /**
   * Where the text leaves a session, every statement having succeeded; `unknown` when it is not
   * understood.
   */
  readonly transactionAfter: 'unchanged' | 'open' | 'idle' | 'unknown';
  /** Whether it may share a backend with others, as far as the text tells. */
  readonly sharing: Sharing;
  /** Whether all of this holds for every text that differs from this one in literals alone. */
  readonly literals: 'matter' | 'do_not_matter';
  /**
   * What a look-up in the catalog needs: the names in all statements, as written, with repetitions.
   */
  readonly relations: readonly QualifiedName[];
  readonly functions: readonly QualifiedName[];
  readonly types: readonly QualifiedName[];
  readonly operators: readonly string[];
  readonly attributes: readonly string[];
}

/** For each setting of standard_conforming_strings. */
const CACHE_LIMITS: TextCacheLimits = Object.freeze({
  entriesMax: 4096,
  lengthMax: 2 * 1024 * 1024,
  textLengthMax: 8 * 1024,
});
const byFingerprint = new TextCache<TextEffects>(CACHE_LIMITS);
const withStandardStrings = new TextCache<TextEffects>(CACHE_LIMITS);
const withEscapeStrings = new TextCache<TextEffects>(CACHE_LIMITS);
const STANDARD: LexOptions = Object.freeze({ standardConformingStrings: true });
const ESCAPES: LexOptions = Object.freeze({ standardConformingStrings: false });

/**
 * The effects of `sql`, frozen; the same object again for a text of up to 8 Ki characters that came
 * lately, mostly also when only its literals were others. Never throws; takes time in proportion to
 * the text. `sql` is decoded
 * from a client encoding in which no byte of a longer character is ASCII (UTF-8, Latin-1 …; not
 * SJIS, BIG5, GBK, GB18030, JOHAB or UHC).
 */
export function textEffects(sql: string, options: LexOptions): TextEffects {
  if (!options.standardConformingStrings) return withEscapeStrings.get(sql, readEscapes);
  const shape = fingerprint(sql);
  const effects = shape === undefined ? undefined : byFingerprint.get(shape, readStandard);
  if (effects?.literals === 'do_not_matter') return effects;
  return withStandardStrings.get(sql, readStandard);
}

function readStandard(sql: string): TextEffects {
  return readTextEffects(sql, STANDARD);
}

function readEscapes(sql: string): TextEffects {
  return readTextEffects(sql, ESCAPES);
}

/** As textEffects, remembering nothing. */
export function readTextEffects(sql: string, options: LexOptions): TextEffects {
  const recognised = recogniseStatements(sql, options);
  if (recognised.kind === 'unparsable') {
    return sharingOfFault(recognised.fault) === 'too_long' ? TOO_LONG : UNPARSABLE;
  }
  return Object.freeze(conclude(recognised.statements));
}

/** The same where a value of a type of users, made as it runs, may run code that no text shows. */
export function dirtied(effects: TextEffects): TextEffects {
  const sharing = effects.sharing === 'candidate' ? 'parameter_type' : effects.sharing;
  return Object.freeze({ ...effects, cleanliness: 'dirty', dirties: true, sharing });
}

const NOTHING: readonly never[] = Object.freeze([]);

/** Of a text that is not understood. */
export const UNPARSABLE: TextEffects = Object.freeze({
  statements: NOTHING,
  listening: 'none',
  notifies: false,
  pin: 'unparsable',
  cleanliness: 'dirty',
  dirties: true,
  settings: NOTHING,
  unsure: NOTHING,
  touches: 'any',
  localDefaults: NOTHING,
  changesParsing: 'lexing',
  mayRollBack: true,
  transactionAfter: 'unknown',
  sharing: 'unparsable',
  literals: 'matter',
  relations: NOTHING,
  functions: NOTHING,
  types: NOTHING,
  operators: NOTHING,
  attributes: NOTHING,
});

/** Of one that is longer than is read. */
export const TOO_LONG: TextEffects = Object.freeze({ ...UNPARSABLE, sharing: 'too_long' });

function conclude(statements: readonly Statement[]): TextEffects {
  const all = statements.map(statementEffects);
  const queries = statements.map(queryOf).filter((query) => query !== undefined);
  const only = all.length === 1 ? all[0] : undefined;
  // Several statements in one text are never taken for clean: where one fails, those before it
  // are undone. A seed stays whatever becomes of its transaction, SET LOCAL or not.
  const touches = only?.touches ?? all.map((effects) => effects.touches).reduce(together, NOTHING);
  const cleanliness = touches.includes('seed') ? 'dirty' : (only?.cleanliness ?? 'dirty');
  return {
    statements,
    listening: statements.some(({ kind }) => kind === 'listen') ? 'native' : 'none',
    notifies: statements.some(({ kind }) => kind === 'notify'),
    pin: all.map((effects) => effects.pin).reduce(strongest, undefined),
    cleanliness,
    dirties: cleanliness === 'dirty',
    settings: only?.settings ?? all.flatMap((effects) => effects.settings),
    unsure: only?.unsure ?? all.flatMap((effects) => effects.unsure),
    touches,
    localDefaults: only?.localDefaults ?? all.flatMap((effects) => effects.localDefaults),
    changesParsing: effectOnParsing(touches),
    mayRollBack: statements.some(({ kind }) => ROLLS_BACK.has(kind)),
    transactionAfter: statements.map(transactionAfter).reduce(later, 'unchanged'),
    sharing: sharingOf(statements),
    literals: statements.every(isBlindToLiterals) ? 'do_not_matter' : 'matter',
    relations: queries.flatMap((query) => query.relations),
    functions: queries.flatMap((query) => query.functions),
    types: queries.flatMap((query) => query.types),
    operators: queries.flatMap((query) => query.operators),
    attributes: queries.flatMap((query) => query.attributes),
  };
}

/** Procedures and DO may end transactions. */
const ROLLS_BACK: ReadonlySet<Statement['kind']> = new Set([
  'rollback',
  'rollback_to',
  'call',
  'do',
  'execute',
  'unknown',
]);

function together(
  a: readonly string[] | 'any',
  b: readonly string[] | 'any',
): readonly string[] | 'any' {
  return a === 'any' || b === 'any' ? 'any' : [...a, ...b];
}

function effectOnParsing(touches: readonly string[] | 'any'): ParsingEffect {
  return touches === 'any' ? 'lexing' : touches.map(parsingEffect).reduce(stronger, 'nothing');
}

function stronger(a: ParsingEffect, b: ParsingEffect): ParsingEffect {
  if (a === 'lexing' || b === 'nothing') return a;
  return b;
}

/** What a statement executes or prepares of queries. */
function queryOf(statement: Statement): QueryFacts | undefined {
  if ('query' in statement) return statement.query;
  if ('statement' in statement) return queryOf(statement.statement);
  if ('source' in statement && typeof statement.source !== 'string') return statement.source;
  return undefined;
}

/** Statements of which no conclusion is drawn from a value. */
const BLIND_TO_LITERALS: ReadonlySet<Statement['kind']> = new Set([
  'read',
  'locking_read',
  'write',
  'begin',
  'commit',
  'rollback',
]);

function isBlindToLiterals(statement: Statement): boolean {
  if (!BLIND_TO_LITERALS.has(statement.kind)) return false;
  return !('query' in statement) || statement.query.setConfig === 'none';
}

type TransactionAfter = TextEffects['transactionAfter'];

function transactionAfter(statement: Statement): TransactionAfter {
  const { kind } = statement;
  if (kind === 'begin') return 'open';
  if (kind === 'commit' || kind === 'rollback') {
    return statement.chain === 'chain' ? 'open' : 'idle';
  }
  if (kind === 'prepare_transaction') return 'idle';
  return kind === 'unknown' ? 'unknown' : 'unchanged';
}

function later(before: TransactionAfter, after: TransactionAfter): TransactionAfter {
  return after === 'unchanged' ? before : after;
}
