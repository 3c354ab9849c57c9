/**
 * A text without the values of its literals: two texts of one fingerprint have the same tokens but
 * for the values of numbers and strings. Most clients send texts that differ in nothing else.
 * Owns: when two texts differ in values alone. Leaves: whether values matter to effects.ts.
 * Texts with anything that is read in several ways have none: comments, dollar quotes, escapes,
 * bit strings, exponents. Integers of up to nine digits are told from other numbers: those have
 * another type, and so other operators.
 * Source: PostgreSQL 18, src/backend/parser/scan.l.
 */
import * as char from './characters.ts';
import { charClass, continuesName, isDigit } from './characters.ts';

const QUOTE = 0x27;
const AMPERSAND = 0x26;
const STAR = 0x2a;
const MINUS = 0x2d;
const DOT = 0x2e;
const SLASH = 0x2f;
/** As many digits as always are an int4. */
export const INT_DIGITS_MAX = 9;

/**
 * The fingerprint of `sql` where standard_conforming_strings is on; undefined when there is none.
 * Itself a text of the same tokens. Time is linear; never throws.
 */
export function fingerprint(sql: string): string | undefined {
  const { length } = sql;
  let key = '';
  let copied = 0;
  let at = 0;
  while (at < length) {
    const code = sql.charCodeAt(at);
    switch (charClass(code)) {
      case char.NAME:
        at = nameEnd(sql, at);
        // The beginning of E'…', B'…', N'…' or X'…', or a typed literal written without a blank.
        if (sql.charCodeAt(at) === QUOTE) return undefined;
        break;
      case char.DIGIT: {
        const end = numberEnd(sql, at);
        if (end === undefined) return undefined;
        key += sql.slice(copied, at) + (isShortInteger(sql, at, end) ? '1' : '1.5');
        at = copied = end;
        break;
      }
      case char.QUOTE: {
        const end = stringEnd(sql, at);
        if (end === undefined || sql.charCodeAt(at - 1) === AMPERSAND) return undefined;
        key += `${sql.slice(copied, at)}''`;
        at = copied = end;
        break;
      }
      case char.DOUBLE_QUOTE:
        at = sql.indexOf('"', at + 1) + 1;
        if (at === 0) return undefined;
        break;
      case char.DOLLAR:
        if (!isDigit(sql.charCodeAt(at + 1))) return undefined;
        at = nameEnd(sql, at + 1);
        break;
      case char.DOT:
        if (isDigit(sql.charCodeAt(at + 1))) return undefined;
        at += 1;
        break;
      case char.OPERATOR:
        if (beginsComment(sql, at, code)) return undefined;
        at += 1;
        break;
      case char.INVALID:
        return undefined;
      default:
        at += 1;
    }
  }
  return copied === 0 ? sql : key + sql.slice(copied);
}

function nameEnd(sql: string, from: number): number {
  let at = from + 1;
  while (continuesName(sql.charCodeAt(at))) at += 1;
  return at;
}

/** Behind digits, with a fraction or not; undefined for any other number. */
function numberEnd(sql: string, from: number): number | undefined {
  let at = from;
  while (isDigit(sql.charCodeAt(at))) at += 1;
  if (sql.charCodeAt(at) === DOT) {
    at += 1;
    if (!isDigit(sql.charCodeAt(at))) return undefined;
    while (isDigit(sql.charCodeAt(at))) at += 1;
  }
  const next = sql.charCodeAt(at);
  return continuesName(next) || next === DOT ? undefined : at;
}

function isShortInteger(sql: string, from: number, end: number): boolean {
  if (end - from > INT_DIGITS_MAX) return false;
  for (let at = from; at < end; at++) if (sql.charCodeAt(at) === DOT) return false;
  return true;
}

/** Behind the closing quote; a doubled one is a part of the string. */
function stringEnd(sql: string, from: number): number | undefined {
  let at = from + 1;
  for (;;) {
    const quote = sql.indexOf("'", at);
    if (quote === -1) return undefined;
    if (sql.charCodeAt(quote + 1) !== QUOTE) return quote + 1;
    at = quote + 2;
  }
}

function beginsComment(sql: string, at: number, code: number): boolean {
  const next = sql.charCodeAt(at + 1);
  return (code === MINUS && next === MINUS) || (code === SLASH && next === STAR);
}
