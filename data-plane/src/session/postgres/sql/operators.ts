/**
 * The operators that a query says, by their names; words that stand for some included. IN, BETWEEN,
 * CASE, NULLIF, DISTINCT and USING compare: the comparing operators may be meant by any query.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (a_expr).
 */
import type { QualifiedName } from './names.ts';
import type { TokenWindow } from './token-window.ts';
import type { Token } from './tokens.ts';

const LIKE = ['~~', '!~~', '~~*', '!~~*', '~', '!~'];
const LIKE_WORDS: ReadonlySet<string> = new Set(['like', 'ilike', 'similar']);

export class OperatorNames {
  readonly #names = new Set<string>();

  token({ kind, text }: Token): void {
    if (kind === 'operator') this.#names.add(text === '!=' ? '<>' : text);
    else if (kind === 'word' && LIKE_WORDS.has(text))
      for (const name of LIKE) this.#names.add(name);
  }

  /** Each once. */
  get names(): readonly string[] {
    return [...this.#names];
  }
}

/**
 * The name in `OPERATOR(schema.name)`, at whose first word the window stands, unless the schema is
 * pg_catalog: the server looks for it nowhere else, so that it is like a call of a function there.
 */
export function operatorElsewhere(window: TokenWindow): QualifiedName | undefined {
  const parts: string[] = [];
  let ahead = 2;
  while (window.sign(ahead + 1) === '.') {
    parts.push(window.token(ahead).text);
    ahead += 2;
  }
  const isOperator = window.token(ahead).kind === 'operator' && window.sign(ahead + 1) === ')';
  if (!isOperator || parts.length === 0) return undefined;
  return parts.length === 1 && parts[0] === 'pg_catalog'
    ? undefined
    : [...parts, window.sign(ahead)];
}
