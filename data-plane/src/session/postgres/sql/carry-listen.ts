/**
 * LISTEN that is carried out elsewhere: the text for the server, and what is still known of it.
 * Source: PostgreSQL 18, ProcessUtility and async.c: UNLISTEN of a channel that is not listened on
 * does nothing, and is refused, skipped and undone where LISTEN would be.
 */
import type { TextEffects } from './effects.ts';
import { lex } from './lexer.ts';
import { splitStatements } from './split.ts';
import type { LexOptions } from './tokens.ts';

export interface CarriedText {
  readonly sql: string;
  readonly effects: TextEffects;
}

/** The text with UNLISTEN in place of each LISTEN; its effects say `carried`, channels kept. */
export function carryListen(sql: string, effects: TextEffects, options: LexOptions): CarriedText {
  const lexed = lex(sql, options);
  const ranges = lexed.kind === 'tokens' ? splitStatements(lexed.tokens) : undefined;
  if (lexed.kind !== 'tokens' || ranges === undefined) return { sql, effects };
  let carried = '';
  let at = 0;
  for (const { from } of ranges) {
    const first = lexed.tokens[from];
    if (first?.kind !== 'word' || first.text !== 'listen') continue;
    carried += `${sql.slice(at, first.start)}UNLISTEN`;
    at = first.end;
  }
  return {
    sql: carried + sql.slice(at),
    effects: Object.freeze({ ...effects, listening: 'carried' }),
  };
}
