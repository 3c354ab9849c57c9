/**
 * What a literal stands for. Undefined wherever the exact value is not certain: bytes of an unknown
 * encoding, N'…', U&'…', bit strings, numbers the server would rewrite. Callers then treat the
 * statement as one they cannot repeat.
 * Source: PostgreSQL 18, src/backend/parser/scan.l; manual, "Constants".
 */
import type { LexOptions, Token } from './tokens.ts';

const INT4_MAX = 0x7fffffff;
const REPLACEMENT_CHARACTER = '\ufffd';
const PLAIN_DECIMAL = /^(?:\d+\.\d*|\.\d+)$/;

/** The value of a `string` token. */
export function stringValue(sql: string, token: Token, options: LexOptions): string | undefined {
  const written = sql.slice(token.start, token.end);
  // Decoding has lost what was there.
  if (written.includes(REPLACEMENT_CHARACTER)) return undefined;
  const first = written[0] as string;
  if (first === '$') {
    const tagLength = written.indexOf('$', 1) + 1;
    return written.slice(tagLength, -tagLength);
  }
  if (first === "'") {
    return quotedValue(written, options.standardConformingStrings ? 'plain' : 'escapes');
  }
  return first === 'e' || first === 'E' ? quotedValue(written.slice(1), 'escapes') : undefined;
}

const ESCAPE_LETTERS: ReadonlyMap<string, string> = new Map([
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);
const ESCAPED = new RegExp(
  [
    "''",
    String.raw`\\(?<octal>[0-7]{1,3})`,
    String.raw`\\x(?<hex>[0-9a-fA-F]{1,2})`,
    String.raw`\\u(?<short>[0-9a-fA-F]{4})`,
    String.raw`\\U(?<long>[0-9a-fA-F]{8})`,
    String.raw`\\(?<other>[^])`,
  ].join('|'),
  'g',
);
/** Escapes that are wrong without digits, or that only servers from 16 on know. */
const UNCERTAIN_LETTERS = 'uUv';
const ASCII_MAX = 0x7f;
const UNICODE_MAX = 0x10ffff;

function quotedValue(written: string, style: 'plain' | 'escapes'): string | undefined {
  const inside = written.slice(1, -1);
  if (style === 'escapes' && inside.includes('\\')) return escapedValue(inside);
  if (hasContinuation(inside)) return undefined;
  return inside.replaceAll("''", "'");
}

function escapedValue(inside: string): string | undefined {
  if (hasContinuation(inside.replace(ESCAPED, ''))) return undefined;
  let value = '';
  let at = 0;
  for (const match of inside.matchAll(ESCAPED)) {
    const meant = match[0] === "''" ? "'" : escapeValue(match.groups ?? {});
    if (meant === undefined) return undefined;
    value += inside.slice(at, match.index) + meant;
    at = match.index + match[0].length;
  }
  return value + inside.slice(at);
}

function escapeValue(escape: Readonly<Record<string, string | undefined>>): string | undefined {
  const { octal, hex, short, long, other } = escape as Partial<Record<string, string>>;
  if (other !== undefined) {
    return UNCERTAIN_LETTERS.includes(other) ? undefined : (ESCAPE_LETTERS.get(other) ?? other);
  }
  const unicode = short ?? long;
  if (unicode !== undefined) return character(Number.parseInt(unicode, 16), UNICODE_MAX);
  // A byte beyond ASCII is one of several that only together are a character.
  if (octal !== undefined) return character(Number.parseInt(octal, 8), ASCII_MAX);
  return character(Number.parseInt(hex ?? '', 16), ASCII_MAX);
}

function character(code: number, max: number): string | undefined {
  return code >= 1 && code <= max ? String.fromCodePoint(code) : undefined;
}

/** A quote that is not doubled stands between the lines of a continued string. */
function hasContinuation(inside: string): boolean {
  return inside.replaceAll("''", '').includes("'");
}

/**
 * How the server spells a number in a list of SET values: int4 as decimal, other plain decimals as
 * written.
 */
export function numberValue(sql: string, token: Token): string | undefined {
  const written = sql.slice(token.start, token.end);
  if (/^\d+$/.test(written)) {
    const value = Number.parseInt(written, 10);
    return value <= INT4_MAX ? String(value) : written;
  }
  return PLAIN_DECIMAL.test(written) ? written : undefined;
}
