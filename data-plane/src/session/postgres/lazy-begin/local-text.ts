/**
 * Which texts can be answered without a server: those that begin a transaction, and those that end
 * one.
 * Owns: telling at a glance which cannot, and the tags. Leaves: reading SQL to sql/.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (TransactionStmt), src/backend/tcop/utility.c
 * (CreateCommandTag).
 */
import type { TextEffects } from '../sql/effects.ts';

/** A longer one goes to the server like any other text. */
export const LOCAL_TEXT_BYTES_MAX = 512;

/** What CommandComplete calls it. */
export type BeginTag = 'BEGIN' | 'START TRANSACTION';
export type EndTag = 'COMMIT' | 'ROLLBACK';

const SPACE = 0x20;
const LOWER_CASE = 0x20;

/** BEGIN and START, or COMMIT, END, ROLLBACK and ABORT, by their first letters; and comments. */
const BEGINNINGS = Object.freeze({
  begin: pairs('be', 'st', '/*', '--'),
  end: pairs('co', 'en', 'ro', 'ab', '/*', '--'),
});
/** Which texts are looked for. */
export type Wanted = keyof typeof BEGINNINGS | 'any';

/** Whether the text at `start` may be one that is wanted: nearly every other is told apart here. */
export function mayBe(wanted: Wanted, buffer: Buffer, start: number, end: number): boolean {
  if (wanted === 'any') return true;
  let at = start;
  while (at < end && (buffer[at] as number) <= SPACE && buffer[at] !== 0) at++;
  if (at + 1 >= end) return false;
  return BEGINNINGS[wanted].has(pair(buffer[at] as number, buffer[at + 1] as number));
}

/** The text (latin1) that ends with the zero at `zero`; undefined when it is too long. */
export function shortText(buffer: Buffer, start: number, zero: number): string | undefined {
  return zero - start > LOCAL_TEXT_BYTES_MAX ? undefined : buffer.toString('latin1', start, zero);
}

/** Of a text that does nothing but begin a transaction. */
export function beginTag(sql: string, { statements }: TextEffects): BeginTag | undefined {
  if (statements.length !== 1 || statements[0]?.kind !== 'begin') return undefined;
  return firstWord(sql) === 'start' ? 'START TRANSACTION' : 'BEGIN';
}

/** Of a text that does nothing but end a transaction, and begins none after it. */
export function endTag({ statements }: TextEffects): EndTag | undefined {
  const [statement] = statements;
  if (statements.length !== 1 || statement === undefined) return undefined;
  const ends = statement.kind === 'commit' || statement.kind === 'rollback';
  if (!ends || statement.chain === 'chain') return undefined;
  return statement.kind === 'commit' ? 'COMMIT' : 'ROLLBACK';
}

/** In lower case, behind spaces and comments, which nest. */
function firstWord(sql: string): string {
  let rest = sql.trimStart();
  for (;;) {
    if (rest.startsWith('--')) rest = rest.slice(rest.search(/[\r\n]|$/)).trimStart();
    else if (rest.startsWith('/*')) rest = behindComment(rest).trimStart();
    else return (/^[a-z]*/i.exec(rest)?.[0] ?? '').toLowerCase();
  }
}

function behindComment(text: string): string {
  let depth = 0;
  for (const { 0: sign, index } of text.matchAll(/\/\*|\*\//g)) {
    depth += sign === '/*' ? 1 : -1;
    if (depth === 0) return text.slice(index + sign.length);
  }
  return '';
}

function pairs(...texts: readonly string[]): ReadonlySet<number> {
  return new Set(texts.map((text) => pair(text.charCodeAt(0), text.charCodeAt(1))));
}

function pair(first: number, second: number): number {
  return ((first | LOWER_CASE) << 8) | (second | LOWER_CASE);
}
