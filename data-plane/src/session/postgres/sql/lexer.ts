/**
 * Cuts SQL text into PostgreSQL's tokens, by the same rules as the server.
 * Owns: where each token begins and ends, and the limits on what is read at all. Leaves: names to
 * names.ts, values of literals to literals.ts, meaning to statements.ts. Blanks and comments are
 * the gaps between tokens. The text may be decoded from UTF-8 or from Latin-1: every code unit from
 * 0x80 on is a letter, as every such byte is to the server, so both give the same tokens. Runs in
 * linear time and never throws.
 * Source: PostgreSQL 18, src/backend/parser/scan.l, and base_yylex() in parser.c for UESCAPE;
 * manual, "Lexical Structure". What servers before 15 took for two tokens (`1a`) is refused, as
 * later ones do.
 */
import * as char from './characters.ts';
import { charClass, continuesName, isDigit } from './characters.ts';
import { foldName, quotedName, unicodeQuotedName } from './names.ts';
import type { Lexed, LexFault, LexOptions, Token, TokenKind } from './tokens.ts';

/** A longer text is not read; in UTF-16 code units. */
export const TEXT_LENGTH_MAX = 1024 * 1024;
export const TOKENS_MAX = 256 * 1024;

export function lex(sql: string, options: LexOptions): Lexed {
  if (sql.length > TEXT_LENGTH_MAX) return { kind: 'unparsable', fault: 'text_too_long', at: 0 };
  return new Lexer(sql, options).run();
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const AMPERSAND = 0x26;
const STAR = 0x2a;
const PLUS = 0x2b;
const MINUS = 0x2d;
const SLASH = 0x2f;
const SINGLE_QUOTE = 0x27;
const BACKSLASH = 0x5c;
/** Turns an ASCII capital into its small letter. */
const SMALL = 0x20;

/** An operator of several characters may end in + or - only when it has one of these. */
const NOT_IN_SQL_OPERATORS = /[~!@#^&|`?%]/;
const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z_0-9\u0080-\uffff]*)?\$/y;
const DECIMAL = '[0-9](?:_?[0-9])*';
const NUMBER = new RegExp(
  '0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+' +
    `|(?:${DECIMAL}(?:\\.(?!\\.)(?:${DECIMAL})?)?|\\.${DECIMAL})(?:[eE][-+]?${DECIMAL})?`,
  'y',
);
const UESCAPE = /uescape/iy;
const ESCAPE_CHARACTER = /'([^0-9a-fA-F+'"\s])'/y;

class Lexer {
  readonly #sql: string;
  readonly #standardStrings: boolean;
  readonly #tokens: Token[] = [];
  #at = 0;
  #fault: LexFault | undefined;

  constructor(sql: string, options: LexOptions) {
    this.#sql = sql;
    this.#standardStrings = options.standardConformingStrings;
  }

  run(): Lexed {
    const sql = this.#sql;
    for (;;) {
      this.#at = this.#blankEnd(this.#at);
      if (this.#fault !== undefined || this.#at >= sql.length) break;
      const code = sql.charCodeAt(this.#at);
      const type = charClass(code);
      if (type === char.NAME) this.#word(code);
      else if (type === char.SYMBOL) this.#push('symbol', this.#at + 1);
      else this.#other(type);
      if (this.#tokens.length > TOKENS_MAX) this.#fail('too_many_tokens');
    }
    if (this.#fault === undefined) return { kind: 'tokens', tokens: this.#tokens };
    return { kind: 'unparsable', fault: this.#fault, at: this.#at };
  }

  #other(type: number): void {
    switch (type) {
      case char.OPERATOR:
        return this.#operator();
      case char.DIGIT:
        return this.#number();
      case char.QUOTE:
        return this.#plainString(this.#at);
      case char.DOUBLE_QUOTE:
        return this.#quotedName(this.#at);
      case char.DOLLAR:
        return this.#dollar();
      case char.DOT:
        return this.#dot();
      case char.COLON:
        return this.#colon();
      default:
        return this.#fail('invalid_character');
    }
  }

  #push(kind: TokenKind, end: number): void {
    const start = this.#at;
    const written = kind === 'operator' || kind === 'symbol';
    const text = written ? this.#sql.slice(start, end) : '';
    this.#tokens.push({ kind, text, start, end });
    this.#at = end;
  }

  #fail(fault: LexFault): void {
    this.#fault ??= fault;
  }

  // ---- between tokens ----

  /** The index of the next character that is neither blank nor comment. */
  #blankEnd(from: number): number {
    const sql = this.#sql;
    let at = from;
    for (;;) {
      const code = sql.charCodeAt(at);
      if (charClass(code) === char.BLANK) at++;
      else if (code === MINUS && sql.charCodeAt(at + 1) === MINUS) at = this.#lineEnd(at);
      else if (code === SLASH && sql.charCodeAt(at + 1) === STAR) at = this.#commentEnd(at);
      else return at;
    }
  }

  #lineEnd(from: number): number {
    const sql = this.#sql;
    let at = from;
    while (at < sql.length) {
      const code = sql.charCodeAt(at);
      if (code === LINE_FEED || code === CARRIAGE_RETURN) break;
      at++;
    }
    return at;
  }

  /** Block comments nest. */
  #commentEnd(open: number): number {
    const sql = this.#sql;
    let depth = 0;
    for (let at = open; at < sql.length; at++) {
      const code = sql.charCodeAt(at);
      if (code === SLASH && sql.charCodeAt(at + 1) === STAR) {
        depth++;
        at++;
      } else if (code === STAR && sql.charCodeAt(at + 1) === SLASH) {
        depth--;
        at++;
        if (depth === 0) return at + 1;
      }
    }
    this.#fail('unterminated_comment');
    return sql.length;
  }

  // ---- names ----

  #word(first: number): void {
    const sql = this.#sql;
    const start = this.#at;
    let next = sql.charCodeAt(start + 1);
    if (next === SINGLE_QUOTE && this.#prefixedString(first | SMALL)) return;
    if (next === AMPERSAND && (first | SMALL) === 0x75 && this.#unicodeLiteral()) return;
    let bits = first;
    let end = start + 1;
    while (continuesName(next)) {
      bits |= next;
      next = sql.charCodeAt(++end);
    }
    const text = foldName(sql.slice(start, end), bits < 0x80 ? 'ascii' : 'any');
    this.#tokens.push({ kind: 'word', text, start, end });
    this.#at = end;
  }

  #quotedName(open: number): void {
    const end = this.#quotedEnd(open + 1, '"');
    if (end === -1) return this.#fail('unterminated_name');
    if (end === open + 2) return this.#fail('empty_name');
    const text = quotedName(this.#sql.slice(open + 1, end - 1));
    this.#tokens.push({ kind: 'quoted', text, start: this.#at, end });
    this.#at = end;
  }

  // ---- strings ----

  /** E'…', N'…', B'…', X'…'; false when the letter is a name of its own. */
  #prefixedString(letter: number): boolean {
    const open = this.#at + 1;
    if (letter === 0x65) this.#string(open, 'escapes');
    else if (letter === 0x6e) this.#plainString(open);
    else if (letter === 0x62 || letter === 0x78) this.#bits(open);
    else return false;
    return true;
  }

  #plainString(open: number): void {
    this.#string(open, this.#standardStrings ? 'plain' : 'escapes');
  }

  #string(open: number, style: 'plain' | 'escapes'): void {
    let end = -1;
    for (let quote = open; quote !== -1; quote = this.#continuation(end)) {
      end = style === 'plain' ? this.#quotedEnd(quote + 1, "'") : this.#escapedEnd(quote + 1);
      if (end === -1) return this.#fail('unterminated_string');
    }
    this.#push('string', end);
  }

  /** Bit strings know no doubled quotes: B'0''1' is two literals. */
  #bits(open: number): void {
    let end = 0;
    for (let quote = open; quote !== -1; quote = this.#continuation(end)) {
      end = this.#sql.indexOf("'", quote + 1) + 1;
      if (end === 0) return this.#fail('unterminated_string');
    }
    this.#push('bits', end);
  }

  /** The index behind the closing quote; a doubled one does not close. -1 when there is none. */
  #quotedEnd(from: number, quote: "'" | '"'): number {
    let at = this.#sql.indexOf(quote, from);
    while (at !== -1 && this.#sql[at + 1] === quote) at = this.#sql.indexOf(quote, at + 2);
    return at === -1 ? -1 : at + 1;
  }

  /** As #quotedEnd, where a backslash takes the next character with it. */
  #escapedEnd(from: number): number {
    const sql = this.#sql;
    for (let at = from; at < sql.length; at++) {
      const code = sql.charCodeAt(at);
      if (code === BACKSLASH) {
        at++;
      } else if (code === SINGLE_QUOTE) {
        if (sql.charCodeAt(at + 1) !== SINGLE_QUOTE) return at + 1;
        at++;
      }
    }
    return -1;
  }

  /**
   * The index of a quote that goes on with the string: only blanks and line comments between, with
   * a newline.
   */
  #continuation(from: number): number {
    const sql = this.#sql;
    let newline = false;
    for (let at = from; at < sql.length; at++) {
      const code = sql.charCodeAt(at);
      if (code === SINGLE_QUOTE) return newline ? at : -1;
      if (code === LINE_FEED || code === CARRIAGE_RETURN) newline = true;
      else if (code === MINUS && sql.charCodeAt(at + 1) === MINUS) at = this.#lineEnd(at) - 1;
      else if (charClass(code) !== char.BLANK) return -1;
    }
    return -1;
  }

  /** U&'…' and U&"…"; false when it is the name U before an operator. */
  #unicodeLiteral(): boolean {
    const start = this.#at;
    const open = start + 2;
    const quote = this.#sql[open];
    if (quote !== "'" && quote !== '"') return false;
    if (quote === '"') this.#quotedName(open);
    else if (this.#standardStrings) this.#string(open, 'plain');
    else this.#fail('invalid_unicode_escape');
    if (this.#fault === undefined) this.#unicodeEscape(start, open);
    return true;
  }

  /** Reads the literal just pushed once more, with its UESCAPE clause, which becomes part of it. */
  #unicodeEscape(start: number, open: number): void {
    const { kind, end } = this.#tokens.pop() as Token;
    const escape = this.#escapeCharacter(end);
    const inside = this.#sql.slice(open + 1, end - 1);
    const text = kind === 'quoted' ? unicodeQuotedName(inside, escape ?? '\\') : '';
    if (text === undefined) return this.#fail('invalid_unicode_escape');
    if (this.#fault !== undefined) return;
    if (escape === undefined) this.#at = end;
    this.#tokens.push({ kind, text, start, end: this.#at });
  }

  /**
   * The character in a UESCAPE clause after `from`, which is then read; undefined when there is
   * none.
   */
  #escapeCharacter(from: number): string | undefined {
    const sql = this.#sql;
    UESCAPE.lastIndex = this.#blankEnd(from);
    if (!UESCAPE.test(sql) || continuesName(sql.charCodeAt(UESCAPE.lastIndex))) return undefined;
    ESCAPE_CHARACTER.lastIndex = this.#blankEnd(UESCAPE.lastIndex);
    const escape = ESCAPE_CHARACTER.exec(sql)?.[1];
    if (escape === undefined) this.#fail('invalid_unicode_escape');
    this.#at = ESCAPE_CHARACTER.lastIndex;
    return escape;
  }

  /** $1, $$…$$ and $tag$…$tag$. */
  #dollar(): void {
    const sql = this.#sql;
    if (isDigit(sql.charCodeAt(this.#at + 1))) {
      let end = this.#at + 2;
      while (isDigit(sql.charCodeAt(end))) end++;
      if (continuesName(sql.charCodeAt(end))) return this.#fail('junk_after_number');
      return this.#push('parameter', end);
    }
    DOLLAR_TAG.lastIndex = this.#at;
    const tag = DOLLAR_TAG.exec(sql)?.[0];
    if (tag === undefined) return this.#fail('invalid_character');
    const close = sql.indexOf(tag, this.#at + tag.length);
    if (close === -1) return this.#fail('unterminated_dollar_quote');
    this.#push('string', close + tag.length);
  }

  // ---- numbers and operators ----

  #number(): void {
    NUMBER.lastIndex = this.#at;
    NUMBER.test(this.#sql);
    const end = NUMBER.lastIndex;
    if (continuesName(this.#sql.charCodeAt(end))) return this.#fail('junk_after_number');
    this.#push('number', end);
  }

  #dot(): void {
    const next = this.#sql.charCodeAt(this.#at + 1);
    if (isDigit(next)) return this.#number();
    this.#push('symbol', this.#at + (charClass(next) === char.DOT ? 2 : 1));
  }

  #colon(): void {
    const next = this.#sql[this.#at + 1];
    this.#push('symbol', this.#at + (next === ':' || next === '=' ? 2 : 1));
  }

  #operator(): void {
    const sql = this.#sql;
    let end = this.#at + 1;
    while (charClass(sql.charCodeAt(end)) === char.OPERATOR && !this.#commentAt(end)) end++;
    const kept = end - this.#trailingSigns(end);
    this.#push('operator', kept);
    // What follows are single signs: cutting them off one by one would take quadratic time.
    while (this.#at < end) this.#push('operator', this.#at + 1);
  }

  #commentAt(at: number): boolean {
    const code = this.#sql.charCodeAt(at);
    const next = this.#sql.charCodeAt(at + 1);
    return (code === MINUS && next === MINUS) || (code === SLASH && next === STAR);
  }

  /** How many + and - at the end of the operator up to `end` are operators of their own. */
  #trailingSigns(end: number): number {
    const sql = this.#sql;
    let kept = end;
    while (kept > this.#at + 1 && isSign(sql.charCodeAt(kept - 1))) kept--;
    if (kept === end || NOT_IN_SQL_OPERATORS.test(sql.slice(this.#at, kept))) return 0;
    return end - kept;
  }
}

function isSign(code: number): boolean {
  return code === PLUS || code === MINUS;
}
