/**
 * Reads one statement's tokens from left to right. Each `take…` consumes what it names, or nothing.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (ColId, NonReservedWord, Sconst).
 */
import { KEYWORDS } from './keywords.ts';
import { stringValue } from './literals.ts';
import type { Source, Token, TokenRange } from './tokens.ts';

/**
 * A string constant that was there; `value` is undefined when it is not certain what it stands for.
 */
export interface StringConstant {
  readonly value: string | undefined;
}

export class Cursor {
  readonly source: Source;
  readonly to: number;
  #at: number;

  constructor(source: Source, range: TokenRange) {
    this.source = source;
    this.#at = range.from;
    this.to = range.to;
  }

  get at(): number {
    return this.#at;
  }

  get atEnd(): boolean {
    return this.#at >= this.to;
  }

  /** What is not yet read. */
  get rest(): TokenRange {
    return { from: this.#at, to: this.to };
  }

  peek(ahead = 0): Token | undefined {
    return this.#at + ahead < this.to ? this.source.tokens[this.#at + ahead] : undefined;
  }

  /** The unquoted word at hand, folded; empty when there is none. */
  word(ahead = 0): string {
    const token = this.peek(ahead);
    return token?.kind === 'word' ? token.text : '';
  }

  /** The symbol or operator at hand; empty when there is none. */
  sign(ahead = 0): string {
    const token = this.peek(ahead);
    return token?.kind === 'symbol' || token?.kind === 'operator' ? token.text : '';
  }

  skip(count = 1): void {
    this.#at = Math.min(this.#at + count, this.to);
  }

  skipAll(): void {
    this.#at = this.to;
  }

  /** All of `words` in this order. */
  take(...words: readonly string[]): boolean {
    if (!words.every((word, ahead) => this.word(ahead) === word)) return false;
    this.skip(words.length);
    return true;
  }

  takeSign(text: string): boolean {
    if (this.sign() !== text) return false;
    this.skip();
    return true;
  }

  /** A name as of a column, table, cursor or parameter (ColId). */
  takeName(): string | undefined {
    return this.#takeNameExcept('function_or_type');
  }

  /** A word that is not reserved (NonReservedWord). */
  takeNonReserved(): string | undefined {
    return this.#takeNameExcept(undefined);
  }

  #takeNameExcept(excluded: 'function_or_type' | undefined): string | undefined {
    const token = this.peek();
    if (token === undefined || (token.kind !== 'word' && token.kind !== 'quoted')) return undefined;
    const keyword = token.kind === 'word' ? KEYWORDS.get(token.text) : undefined;
    if (keyword === 'reserved' || (excluded !== undefined && keyword === excluded))
      return undefined;
    this.skip();
    return token.text;
  }

  takeString(): StringConstant | undefined {
    const token = this.peek();
    if (token?.kind !== 'string') return undefined;
    this.skip();
    return { value: stringValue(this.source.sql, token, this.source.options) };
  }

  /**
   * The index of the first of `words` outside of parentheses from here on; undefined when none is
   * there.
   */
  find(...words: readonly string[]): number | undefined {
    let depth = 0;
    for (let at = this.#at; at < this.to; at++) {
      const token = this.source.tokens[at] as Token;
      if (token.kind === 'symbol') {
        if (token.text === '(') depth++;
        else if (token.text === ')') depth--;
      } else if (depth === 0 && token.kind === 'word' && words.includes(token.text)) {
        return at;
      }
    }
    return undefined;
  }
}
