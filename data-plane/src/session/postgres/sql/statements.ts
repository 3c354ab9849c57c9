/**
 * Recognises the statements of a text.
 * Owns: which word begins which statement. Leaves: tokens to lexer.ts, what a statement does to
 * effects.ts.
 */
import { Cursor } from './cursor.ts';
import { lex } from './lexer.ts';
import { DEFINITION_STATEMENTS } from './parse-definition.ts';
import { DATA_STATEMENTS, parseQuery } from './parse-query.ts';
import { SESSION_STATEMENTS } from './parse-session.ts';
import { parseDiscard, parseReset, parseSet, parseShow } from './parse-setting.ts';
import {
  parseBegin,
  parseCommit,
  parseRelease,
  parseRollback,
  parseSavepoint,
  parseStart,
} from './parse-transaction.ts';
import { splitStatements } from './split.ts';
import type { Statement } from './statement.ts';
import type { LexFault, LexOptions, Source, TokenRange } from './tokens.ts';

export type Recognised =
  /** At least one; the only one is `empty` when the text holds none. */
  | { readonly kind: 'statements'; readonly statements: readonly Statement[] }
  | { readonly kind: 'unparsable'; readonly fault: LexFault | 'unbalanced_parentheses' };

const EMPTY: readonly Statement[] = Object.freeze([Object.freeze({ kind: 'empty' })]);
const UNKNOWN: Statement = Object.freeze({ kind: 'unknown' });

const PARSERS: ReadonlyMap<string, (cursor: Cursor) => Statement | undefined> = new Map([
  ['abort', parseRollback],
  ['begin', parseBegin],
  ['commit', parseCommit],
  ['end', parseCommit],
  ['release', parseRelease],
  ['rollback', parseRollback],
  ['savepoint', parseSavepoint],
  ['start', parseStart],
  ['discard', parseDiscard],
  ['reset', parseReset],
  ['set', parseSet],
  ['show', parseShow],
  ...SESSION_STATEMENTS,
  ...DATA_STATEMENTS,
  ...DEFINITION_STATEMENTS,
]);

/** Never throws, and takes time in proportion to the text. */
export function recogniseStatements(sql: string, options: LexOptions): Recognised {
  const lexed = lex(sql, options);
  if (lexed.kind === 'unparsable') return { kind: 'unparsable', fault: lexed.fault };
  const ranges = splitStatements(lexed.tokens);
  if (ranges === undefined) return { kind: 'unparsable', fault: 'unbalanced_parentheses' };
  if (ranges.length === 0) return { kind: 'statements', statements: EMPTY };
  const source: Source = { sql, tokens: lexed.tokens, options };
  return { kind: 'statements', statements: ranges.map((range) => recognise(source, range)) };
}

function recognise(source: Source, range: TokenRange): Statement {
  const cursor = new Cursor(source, range);
  const parser = cursor.sign() === '(' ? parseQuery : PARSERS.get(cursor.word());
  const statement = parser?.(cursor);
  return statement !== undefined && cursor.atEnd ? statement : UNKNOWN;
}
