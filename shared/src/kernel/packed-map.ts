/**
 * An immutable map whose values rest as JSON text until somebody asks for them: of 100,000 tenants
 * a process that serves ten holds ten as objects. What was asked for stays the same frozen object
 * for as long as its text does, in every map that was made of this one.
 */
import { FrozenMap } from './frozen-map.ts';

export class PackedMap<V extends object> implements Iterable<readonly [string, V]> {
  readonly #entries: FrozenMap<Packed<V>>;

  private constructor(entries: FrozenMap<Packed<V>>) {
    this.#entries = entries;
  }

  static empty<V extends object>(): PackedMap<V> {
    return new PackedMap<V>(FrozenMap.empty());
  }

  static from<V extends object>(entries: Iterable<readonly [string, V]>): PackedMap<V> {
    return PackedMap.empty<V>().with(entries);
  }

  /** @param texts of each key its value, as `JSON.stringify` writes it */
  static fromTexts<V extends object>(texts: Iterable<readonly [string, string]>): PackedMap<V> {
    return new PackedMap<V>(FrozenMap.from(packed(texts)));
  }

  get size(): number {
    return this.#entries.size;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** The value, kept as an object from now on. */
  get(key: string): V | undefined {
    return this.#entries.get(key)?.kept();
  }

  /** The same for who looks at it once: an object that was kept already, or one for the caller. */
  look(key: string): V | undefined {
    return this.#entries.get(key)?.passing();
  }

  /** Whether anybody has asked for it with `get`. */
  isKept(key: string): boolean {
    return this.#entries.get(key)?.isKept ?? false;
  }

  /** `no`: the value of the key has no member of this name, at any depth. Looks at its text only. */
  mentions(key: string, member: string): 'maybe' | 'no' {
    return this.#entries.get(key)?.text.includes(`"${member}":`) === true ? 'maybe' : 'no';
  }

  /** A map with every entry set in order; an `undefined` value removes its key. */
  with(entries: Iterable<readonly [string, V | undefined]>): PackedMap<V> {
    const last = new Map(entries);
    return this.#changedBy(last, (value) => new Packed<V>(JSON.stringify(value)));
  }

  /** What this map holds, as `other` with no more changed than must be. */
  sharing(other: PackedMap<V>): PackedMap<V> {
    const changes = new Map<string, Packed<V> | undefined>();
    for (const key of this.changedKeys(other)) changes.set(key, this.#entries.get(key));
    return other.#changedBy(changes, (entry) => entry);
  }

  /** The keys whose value is not the same text as in `before`; equal parts are skipped unread. */
  *changedKeys(before: PackedMap<V>): Iterable<string> {
    for (const key of this.#entries.changedKeys(before.#entries)) {
      if (this.#entries.get(key)?.text !== before.#entries.get(key)?.text) yield key;
    }
  }

  /** What is passed by is not kept as objects. */
  *[Symbol.iterator](): Iterator<readonly [string, V]> {
    for (const [key, entry] of this.#entries) yield [key, entry.passing()];
  }

  *keys(): Iterable<string> {
    for (const [key] of this.#entries) yield key;
  }

  *values(): Iterable<V> {
    for (const entry of this.#entries.values()) yield entry.passing();
  }

  /** The values as JSON. */
  *texts(): Iterable<string> {
    for (const { text } of this.#entries.values()) yield text;
  }

  /** Entries whose text is the same stay what they are, and so do their objects. */
  #changedBy<Change>(
    changes: ReadonlyMap<string, Change | undefined>,
    pack: (change: Change) => Packed<V>,
  ): PackedMap<V> {
    const news: [string, Packed<V> | undefined][] = [];
    for (const [key, change] of changes) {
      const entry = change === undefined ? undefined : pack(change);
      if (entry?.text !== this.#entries.get(key)?.text) news.push([key, entry]);
    }
    return news.length === 0 ? this : new PackedMap(this.#entries.with(news));
  }
}

class Packed<V extends object> {
  readonly text: string;
  #kept: V | undefined;

  constructor(text: string) {
    this.text = text;
  }

  get isKept(): boolean {
    return this.#kept !== undefined;
  }

  kept(): V {
    return (this.#kept ??= this.#parse());
  }

  passing(): V {
    return this.#kept ?? this.#parse();
  }

  #parse(): V {
    return Object.freeze(JSON.parse(this.text) as V);
  }
}

function* packed<V extends object>(
  texts: Iterable<readonly [string, string]>,
): Iterable<readonly [string, Packed<V>]> {
  for (const [key, text] of texts) yield [key, new Packed<V>(text)];
}
