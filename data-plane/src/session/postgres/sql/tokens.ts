/**
 * What the lexer makes of a text.
 */

/**
 * - `word`: an unquoted name or a keyword; `text` is folded to lower case
 * - `quoted`: "…", or U&"…" with its UESCAPE; `text` is the name meant
 * - `string`: '…', E'…', N'…', $tag$…$tag$, U&'…' with its UESCAPE; continuation lines included
 * - `bits`: B'…' or X'…'
 * - `operator`, `symbol`: `text` as written; symbols are , ( ) [ ] ; . .. : :: :=
 */
export type TokenKind =
  'word' | 'quoted' | 'string' | 'bits' | 'number' | 'parameter' | 'operator' | 'symbol';

export interface Token {
  readonly kind: TokenKind;
  /** Empty for literals and parameters; see literals.ts. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** Why a text has no tokens: the server refuses it as well, or it is more than the lexer reads. */
export type LexFault =
  | 'unterminated_string'
  | 'unterminated_dollar_quote'
  | 'unterminated_name'
  | 'unterminated_comment'
  | 'empty_name'
  | 'invalid_unicode_escape'
  | 'junk_after_number'
  | 'invalid_character'
  | 'text_too_long'
  | 'too_many_tokens';

export type Lexed =
  | { readonly kind: 'tokens'; readonly tokens: readonly Token[] }
  | { readonly kind: 'unparsable'; readonly fault: LexFault; readonly at: number };

export interface LexOptions {
  /** The server's standard_conforming_strings: off makes a backslash in '…' an escape. */
  readonly standardConformingStrings: boolean;
}

/** A text with its tokens, as the parsers read it. */
export interface Source {
  readonly sql: string;
  readonly tokens: readonly Token[];
  readonly options: LexOptions;
}

/** Tokens `from` up to, not including, `to`. */
export interface TokenRange {
  readonly from: number;
  readonly to: number;
}
