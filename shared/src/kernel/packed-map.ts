/**
 * An immutable map whose values rest as JSON, outside of the heap, until somebody asks for them: of
 * 100,000 tenants a process that serves ten holds ten as objects. What was asked for stays the same
 * frozen object for as long as its text does, in every map that was made of this one.
 * Leaves: the bytes to packed.ts.
 */
import { FrozenMap } from './frozen-map.ts';
import { packAlone, Packed, Packer } from './packed.ts';

/** What JSON has where a member of a name is. */
export type Member = Buffer;

export function memberNamed(name: string): Member {
  return Buffer.from(`${JSON.stringify(name)}:`);
}

/** A map in pieces that can be posted to another thread. */
export interface PackedParts {
  readonly keys: string;
  /** Of each key: which of the buffers, and where its value begins and ends there. */
  readonly places: Uint32Array;
  readonly buffers: readonly ArrayBuffer[];
}

/** In no key: keys are names. */
const KEY_END = '\n';

/** The entries of a map to come. */
export interface Gathering<V extends object> {
  /** @param text the value, as `JSON.stringify` writes it; returns how many there are now */
  add(key: string, text: string): number;
  keys(): readonly string[];
  /** With the last of those that have the same key. */
  toMap(): PackedMap<V>;
}

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

  /**
   * Takes the entries one by one, so that nobody holds all of them as objects or texts.
   * @param bytes about as many as all of their texts have
   */
  static gather<V extends object>(bytes: number): Gathering<V> {
    const packer = new Packer<V>(bytes);
    const packed: [string, Packed<V>][] = [];
    return {
      add: (key, text) => packed.push([key, packer.pack(text)]),
      keys: () => packed.map(([key]) => key),
      toMap: () => new PackedMap<V>(FrozenMap.from(packed)),
    };
  }

  get size(): number {
    return this.#entries.size;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** The value, kept as an object from now on. */
  get(key: string): V | undefined {
    return this.#entries.get(key)?.keep();
  }

  /** The same for who looks at it once: an object that was kept already, or one for the caller. */
  look(key: string): V | undefined {
    return this.#entries.get(key)?.look();
  }

  /** Whether anybody has asked for it with `get`. */
  isKept(key: string): boolean {
    return this.#entries.get(key)?.kept !== undefined;
  }

  /** `no`: its value has no member of this name, at any depth. Looks at the text alone. */
  mentions(key: string, member: Member): 'maybe' | 'no' {
    return this.#entries.get(key)?.holds(member) === true ? 'maybe' : 'no';
  }

  /** A map with every entry set in order; an `undefined` value removes its key. */
  with(entries: Iterable<readonly [string, V | undefined]>): PackedMap<V> {
    // Alone, so that what is replaced again and again holds nobody else's bytes.
    const packer = this.size === 0 ? new Packer<V>() : { pack: packAlone<V> };
    const changes = Array.from(
      new Map(entries),
      ([key, value]) => [key, value && packer.pack(JSON.stringify(value))] as const,
    );
    return this.#replacing(changes);
  }

  /**
   * What this map holds, with the objects that `other` keeps of the same values, and as little else
   * than `other` as can be. No bytes are shared that only few entries would hold.
   */
  sharing(other: PackedMap<V>): PackedMap<V> {
    if (other.size === 0) return this;
    const changed = [...this.changedKeys(other)];
    if (changed.length * 2 <= this.size) {
      return other.#replacing(
        changed.map((key) => [key, this.#entries.get(key)?.alone()] as const),
      );
    }
    for (const [key, entry] of this.#entries) {
      const known = other.#entries.get(key);
      if (known?.kept !== undefined && entry.equals(known)) entry.take(known.kept);
    }
    return this;
  }

  /** The keys whose value is not the same text as in `before`; equal parts are skipped unread. */
  *changedKeys(before: PackedMap<V>): Iterable<string> {
    for (const key of this.#entries.changedKeys(before.#entries)) {
      if (!isSame(this.#entries.get(key), before.#entries.get(key))) yield key;
    }
  }

  /** What is passed by is not kept as objects. */
  *[Symbol.iterator](): Iterator<readonly [string, V]> {
    for (const [key, entry] of this.#entries) yield [key, entry.look()];
  }

  *keys(): Iterable<string> {
    for (const [key] of this.#entries) yield key;
  }

  *values(): Iterable<V> {
    for (const entry of this.#entries.values()) yield entry.look();
  }

  /**
   * The values as JSON in UTF-8, so many in each piece, with a text between two in a piece. A piece
   * is to be used before the next is asked for: both may be in the same memory.
   */
  *pieces(valuesMax: number, between: string): Iterable<Buffer> {
    const gap = Buffer.from(between);
    let memory = Buffer.alloc(0);
    let values: Packed<V>[] = [];
    const take = () => {
      const length = values.reduce((sum, { byteLength }) => sum + byteLength + gap.length, 0);
      if (length > memory.length) memory = Buffer.allocUnsafeSlow(length * 2);
      const piece = joined(values, gap, memory);
      values = [];
      return piece;
    };
    for (const entry of this.#entries.values()) if (values.push(entry) >= valuesMax) yield take();
    if (values.length > 0) yield take();
  }

  /** What another thread can be given, with the bytes to transfer to it; this map is spent then. */
  toParts(): PackedParts {
    const shared = new Map<Buffer, number>();
    const keys: string[] = [];
    const places = new Uint32Array(this.size * 3);
    let at = 0;
    for (const [key, entry] of this.#entries) {
      const [bytes, start, end] = entry.place;
      const index = shared.get(bytes) ?? shared.size;
      shared.set(bytes, index);
      places.set([index, start, end], at);
      at += 3;
      keys.push(key);
    }
    const buffers = Array.from(shared.keys(), ({ buffer }) => buffer as ArrayBuffer);
    return { keys: keys.join(KEY_END), places, buffers };
  }

  static fromParts<V extends object>(parts: PackedParts): PackedMap<V> {
    return new PackedMap<V>(FrozenMap.from(packedIn<V>(parts)));
  }

  /** Entries whose value is the same stay what they are, and so do their objects. */
  #replacing(changes: readonly (readonly [string, Packed<V> | undefined])[]): PackedMap<V> {
    const news = changes.filter(([key, entry]) => !isSame(entry, this.#entries.get(key)));
    return news.length === 0 ? this : new PackedMap(this.#entries.with(news));
  }
}

/** One by one: of all of them at once, lists alone would take as much as the map. */
function* packedIn<V extends object>({ keys, places, buffers }: PackedParts) {
  const shared = buffers.map((buffer) => Buffer.from(buffer));
  const names = places.length === 0 ? [] : keys.split(KEY_END);
  let at = 0;
  for (const key of names) {
    const bytes = shared[places[at] ?? -1];
    if (bytes === undefined) throw new RangeError(`the value of "${key}" is in no buffer`);
    yield [key, new Packed<V>(bytes, places[at + 1] ?? 0, places[at + 2] ?? 0)] as const;
    at += 3;
  }
}

function joined<V extends object>(
  values: readonly Packed<V>[],
  gap: Buffer,
  memory: Buffer,
): Buffer {
  let at = 0;
  for (const value of values) {
    if (at > 0) at += gap.copy(memory, at);
    value.copyTo(memory, at);
    at += value.byteLength;
  }
  return memory.subarray(0, at);
}

function isSame<V extends object>(a: Packed<V> | undefined, b: Packed<V> | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.equals(b));
}
