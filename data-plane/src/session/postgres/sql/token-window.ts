/**
 * A place among the tokens of a range, and what stands around it. Beyond the range there is
 * nothing.
 */
import { KEYWORDS } from './keywords.ts';
import type { QualifiedName } from './names.ts';
import type { Token, TokenRange } from './tokens.ts';

const NO_TOKEN: Token = Object.freeze({ kind: 'symbol', text: '', start: 0, end: 0 });

export class TokenWindow {
  readonly #tokens: readonly Token[];
  readonly #from: number;
  readonly #to: number;
  #at: number;

  constructor(tokens: readonly Token[], range: TokenRange) {
    this.#tokens = tokens;
    this.#from = range.from;
    this.#at = range.from;
    this.#to = range.to;
  }

  get atStart(): boolean {
    return this.#at === this.#from;
  }

  get atEnd(): boolean {
    return this.#at >= this.#to;
  }

  skip(count = 1): void {
    this.#at = Math.min(this.#at + count, this.#to);
  }

  token(ahead = 0): Token {
    const at = this.#at + ahead;
    return at >= this.#from && at < this.#to ? (this.#tokens[at] as Token) : NO_TOKEN;
  }

  /** The unquoted word there; empty when there is none. */
  word(ahead = 0): string {
    const token = this.token(ahead);
    return token.kind === 'word' ? token.text : '';
  }

  /** The symbol or operator there; empty when there is none. */
  sign(ahead = 0): string {
    const token = this.token(ahead);
    return token.kind === 'symbol' || token.kind === 'operator' ? token.text : '';
  }

  /** Whether a name or a keyword that may be one is there. */
  isName(ahead = 0): boolean {
    const token = this.token(ahead);
    if (token.kind === 'word') return KEYWORDS.get(token.text) !== 'reserved';
    return token.kind === 'quoted';
  }

  /** How many tokens the name at hand has, dots included. */
  nameLength(): number {
    let length = 1;
    while (this.sign(length) === '.' && isWordOrQuoted(this.token(length + 1))) length += 2;
    return length;
  }

  /** The name at hand, which has `length` tokens. */
  name(length: number): QualifiedName {
    if (length === 1) return [this.token().text];
    const parts: string[] = [];
    for (let ahead = 0; ahead < length; ahead += 2) parts.push(this.token(ahead).text);
    return parts;
  }
}

export function isWordOrQuoted(token: Token): boolean {
  return token.kind === 'word' || token.kind === 'quoted';
}
