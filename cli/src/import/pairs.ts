/**
 * The value of an entry in [databases] or [users]: `host=h dbname='my db'`. Pure; never throws.
 * Source: PgBouncer 1.25, src/loader.c: a quote within quotes is written twice, no value is empty.
 */

export interface Pair {
  readonly key: string;
  readonly value: string;
  /** Where the key begins, from 1. */
  readonly column: number;
}

export type PairsReading =
  | { readonly outcome: 'ok'; readonly pairs: readonly Pair[] }
  | { readonly outcome: 'refused'; readonly column: number; readonly message: string };

export function readPairs(text: string): PairsReading {
  const pairs: Pair[] = [];
  let at = skipBlanks(text, 0);
  while (at < text.length) {
    const key = /^[^= \t]+/.exec(text.slice(at))?.[0];
    const afterKey = skipBlanks(text, at + (key?.length ?? 0));
    if (key === undefined || text[afterKey] !== '=') {
      return refused(at, "must be key=value; a value with a blank in it stands in '…'");
    }
    const value = readValue(text, skipBlanks(text, afterKey + 1));
    if (value === undefined) return refused(at, `${key} has no closing quote`);
    if (value.text === '') return refused(at, `${key} has no value`);
    pairs.push({ key, value: value.text, column: at + 1 });
    at = skipBlanks(text, value.end);
  }
  return { outcome: 'ok', pairs };
}

/** Nothing when a quote is not closed. */
function readValue(
  text: string,
  start: number,
): { readonly text: string; readonly end: number } | undefined {
  if (text[start] !== "'") {
    const plain = /^[^ ]*/.exec(text.slice(start))?.[0] ?? '';
    return { text: plain, end: start + plain.length };
  }
  const quoted = /^'((?:[^']|'')*)'/.exec(text.slice(start));
  if (quoted === null) return undefined;
  return { text: (quoted[1] ?? '').replaceAll("''", "'"), end: start + quoted[0].length };
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\t') at += 1;
  return at;
}

function refused(at: number, message: string): PairsReading {
  return { outcome: 'refused', column: at + 1, message };
}
