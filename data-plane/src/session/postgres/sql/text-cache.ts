/**
 * Remembers what was concluded from a text, so that a text seen again costs one look-up. Bounded in
 * entries and in characters by two generations: when the young one is full it becomes the old one,
 * and what is not asked for in a whole generation is forgotten. At most twice the limits are kept.
 */

export interface TextCacheLimits {
  /** Entries of one generation. */
  readonly entriesMax: number;
  /** Characters of the texts of one generation. */
  readonly lengthMax: number;
  /** A longer text is not kept. */
  readonly textLengthMax: number;
}

export class TextCache<V extends object> {
  readonly #limits: TextCacheLimits;
  #young = new Map<string, V>();
  #old: ReadonlyMap<string, V> = new Map();
  #length = 0;

  constructor(limits: TextCacheLimits) {
    this.#limits = limits;
  }

  /** Entries in both generations; those in both count twice. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** What `read` said of `text`, now or before. */
  get(text: string, read: (text: string) => V): V {
    const known = this.#young.get(text);
    if (known !== undefined) return known;
    const value = this.#old.get(text) ?? read(text);
    if (text.length <= this.#limits.textLengthMax) this.#keep(text, value);
    return value;
  }

  #keep(text: string, value: V): void {
    const { entriesMax, lengthMax } = this.#limits;
    if (this.#young.size >= entriesMax || this.#length + text.length > lengthMax) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#length = 0;
    }
    this.#young.set(text, value);
    this.#length += text.length;
  }
}
