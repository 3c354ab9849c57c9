/**
 * Where statements begin and end: at semicolons outside of parentheses and of BEGIN ATOMIC … END
 * bodies.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (stmtmulti, opt_routine_body).
 */
import type { Token, TokenRange } from './tokens.ts';

/** The statements that are not empty, in order; undefined when parentheses do not match. */
export function splitStatements(tokens: readonly Token[]): readonly TokenRange[] | undefined {
  const ranges: TokenRange[] = [];
  let from = 0;
  let depth = 0;
  let body: RoutineBody | undefined;
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at] as Token;
    if (at === from) body = beginsRoutine(tokens, at) ? new RoutineBody() : undefined;
    if (token.kind === 'symbol') {
      if (token.text === '(') depth++;
      else if (token.text === ')') depth--;
      else if (token.text === ';' && depth === 0 && body?.open !== true) {
        if (at > from) ranges.push({ from, to: at });
        from = at + 1;
      }
      if (depth < 0) return undefined;
    } else if (body !== undefined && token.kind === 'word') {
      body.word(tokens, at);
    }
  }
  if (depth !== 0 || body?.open === true) return undefined;
  if (tokens.length > from) ranges.push({ from, to: tokens.length });
  return ranges;
}

function beginsRoutine(tokens: readonly Token[], at: number): boolean {
  if (!isWord(tokens[at], 'create')) return false;
  const orReplace = isWord(tokens[at + 1], 'or') && isWord(tokens[at + 2], 'replace');
  const object = tokens[at + (orReplace ? 3 : 1)];
  return isWord(object, 'function') || isWord(object, 'procedure');
}

/**
 * Counts what END closes within a body; CASE and END are reserved words, so names only behind a dot
 * or AS.
 */
class RoutineBody {
  #depth = 0;

  get open(): boolean {
    return this.#depth > 0;
  }

  word(tokens: readonly Token[], at: number): void {
    const { text } = tokens[at] as Token;
    const before = tokens[at - 1];
    if (isWord(before, 'as') || (before?.kind === 'symbol' && before.text === '.')) return;
    if (this.#depth === 0) {
      if (text === 'begin' && isWord(tokens[at + 1], 'atomic')) this.#depth = 1;
    } else if (text === 'case') {
      this.#depth++;
    } else if (text === 'end') {
      this.#depth--;
    }
  }
}

function isWord(token: Token | undefined, text: string): boolean {
  return token?.kind === 'word' && token.text === text;
}
