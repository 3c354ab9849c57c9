/**
 * Literals such as 'now' or 'today': the server turns them into a time when it parses the
 * statement, and keeps that. Parsed for one client, such a statement is another one for the next.
 * Owns: finding them. Leaves: keeping statements apart to statement-watch.ts.
 * Source: PostgreSQL manual, "Special Date/Time Values".
 */
import { lex } from './lexer.ts';
import type { LexOptions } from './tokens.ts';

const ANYWHERE = /now|today|tomorrow|yesterday/i;
const AS_WORD = /(?<![a-z])(?:now|today|tomorrow|yesterday)(?![a-z])/i;

/** Whether a literal of `sql` may stand for the time of its parsing; in doubt it does. */
export function namesMoment(sql: string, options: LexOptions): boolean {
  if (!ANYWHERE.test(sql)) return false;
  const lexed = lex(sql, options);
  if (lexed.kind === 'unparsable') return true;
  return lexed.tokens.some(
    ({ kind, start, end }) => kind === 'string' && isMoment(sql.slice(start, end)),
  );
}

/** An escape before the word may look like a letter of it. */
function isMoment(written: string): boolean {
  return (written.includes('\\') ? ANYWHERE : AS_WORD).test(written);
}
