/**
 * What each character can begin, for the lexer.
 * Source: PostgreSQL 18, src/backend/parser/scan.l, the definitions at its head.
 */

export const INVALID = 0;
export const BLANK = 1;
export const NAME = 2;
export const DIGIT = 3;
export const OPERATOR = 4;
export const SYMBOL = 5;
export const QUOTE = 6;
export const DOUBLE_QUOTE = 7;
export const DOLLAR = 8;
export const DOT = 9;
export const COLON = 10;

const ASCII = 128;
const CLASSES = new Uint8Array(ASCII);
const CONTINUES_NAME = new Uint8Array(ASCII);

function define(characters: string, type: number): void {
  for (const character of characters) CLASSES[character.charCodeAt(0)] = type;
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_';
const DIGITS = '0123456789';

define(' \t\n\r\f\v', BLANK);
define(LETTERS, NAME);
define(DIGITS, DIGIT);
define('~!@#^&|`?+-*/%<>=', OPERATOR);
define(',()[];', SYMBOL);
define("'", QUOTE);
define('"', DOUBLE_QUOTE);
define('$', DOLLAR);
define('.', DOT);
define(':', COLON);
for (const character of `${LETTERS}${DIGITS}$`) CONTINUES_NAME[character.charCodeAt(0)] = 1;

/** NaN, the code behind the end of a text, is INVALID. */
export function charClass(code: number): number {
  if (code < ASCII) return CLASSES[code] as number;
  return code >= ASCII ? NAME : INVALID;
}

/** Whether it may stand inside an unquoted name. */
export function continuesName(code: number): boolean {
  if (code < ASCII) return CONTINUES_NAME[code] === 1;
  return code >= ASCII;
}

export function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

export function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}
