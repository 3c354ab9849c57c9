/**
 * An immutable map whose values rest as JSON, outside of the heap, until somebody asks for them: of
 * 100,000 tenants a process that serves ten holds ten as objects. What was asked for stays the same
 * frozen object for as long as its text does, in every map that was made of this one.
 * What came together is its base, what changed since lies over it: a change costs what it changes.
 * Leaves: the base to packed-base.ts, the bytes of a value to packed.ts.
 */
import { FrozenMap } from './frozen-map.ts';
import { BaseBuilder, PackedBase } from './packed-base.ts';
import type { BaseParts } from './packed-base.ts';
import { packAlone } from './packed.ts';
import type { Packed } from './packed.ts';

/** What JSON has where a member of a name is. */
export type Member = Buffer;

export function memberNamed(name: string): Member {
  return Buffer.from(`${JSON.stringify(name)}:`);
}

/** Fewer that come together lie over an empty base. */
const BASE_ENTRIES_MIN = 1_000;

type Over<V extends object> = FrozenMap<Packed<V> | 'removed'>;
type Change<V extends object> = readonly [string, Packed<V> | undefined];

export class PackedMap<V extends object> implements Iterable<readonly [string, V]> {
  readonly #base: PackedBase<V>;
  readonly #over: Over<V>;
  readonly size: number;

  private constructor(base: PackedBase<V>, over: Over<V>, size: number) {
    this.#base = base;
    this.#over = over;
    this.size = size;
  }

  static empty<V extends object>(): PackedMap<V> {
    return PackedMap.of(new BaseBuilder<V>(0).build());
  }

  static from<V extends object>(entries: Iterable<readonly [string, V]>): PackedMap<V> {
    return PackedMap.empty<V>().with(entries);
  }

  static of<V extends object>(base: PackedBase<V>): PackedMap<V> {
    return new PackedMap<V>(base, FrozenMap.empty(), base.size);
  }

  /** Of what `toParts` gave, in this thread or another. */
  static fromParts<V extends object>(parts: BaseParts): PackedMap<V> {
    return PackedMap.of(new PackedBase<V>(parts));
  }

  /** What another thread can be given; once its buffers are transferred, this map is spent. */
  toParts(): BaseParts {
    if (this.#over.size === 0) return this.#base.toParts();
    const builder = new BaseBuilder<V>(0);
    for (const [key, entry] of this.#entries()) builder.add(key, entry.text);
    return builder.build().toParts();
  }

  has(key: string): boolean {
    const over = this.#over.get(key);
    return over === undefined ? this.#base.has(key) : over !== 'removed';
  }

  /** The value, kept as an object from now on. */
  get(key: string): V | undefined {
    const over = this.#over.get(key);
    if (over === 'removed') return undefined;
    return (over ?? this.#base.entry(key))?.keep();
  }

  /** The same for who looks at it once: an object that was kept already, or one for the caller. */
  look(key: string): V | undefined {
    return this.#passing(key)?.look();
  }

  /** Whether anybody has asked for it with `get`. */
  isKept(key: string): boolean {
    return this.#passing(key)?.kept !== undefined;
  }

  /** `no`: its value has no member of this name, at any depth. Looks at the text alone. */
  mentions(key: string, member: Member): 'maybe' | 'no' {
    const over = this.#over.get(key);
    // Of most members, 100,000 new values are told at once that they have none.
    if (over === undefined && !this.#base.holds(member)) return 'no';
    return this.#passing(key)?.holds(member) === true ? 'maybe' : 'no';
  }

  /** A map with every entry set in order; an `undefined` value removes its key. */
  with(entries: Iterable<readonly [string, V | undefined]>): PackedMap<V> {
    const last = new Map(entries);
    if (this.size === 0 && last.size >= BASE_ENTRIES_MIN) return newMap(last);
    // Alone, so that what is replaced again and again holds nobody else's bytes.
    const changes = Array.from(last, ([key, value]): Change<V> => [
      key,
      value && packAlone(JSON.stringify(value)),
    ]);
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
      return other.#replacing(changed.map((key): Change<V> => [key, this.#passing(key)?.alone()]));
    }
    for (const [key, { kept }] of other.#asked()) {
      if (kept === undefined || !isSame(this.#passing(key), other.#passing(key))) continue;
      const over = this.#over.get(key);
      if (over !== 'removed') (over ?? this.#base.entry(key))?.take(kept);
    }
    return this;
  }

  /** The keys whose value is not the same text as in `before`; equal parts are skipped unread. */
  *changedKeys(before: PackedMap<V>): Iterable<string> {
    if (this.#base === before.#base) {
      for (const key of this.#over.changedKeys(before.#over)) {
        if (!isSame(this.#passing(key), before.#passing(key))) yield key;
      }
      return;
    }
    for (const key of this.keys()) {
      const was = before.size === 0 ? undefined : before.#passing(key);
      if (was === undefined || !isSame(this.#passing(key), was)) yield key;
    }
    for (const key of before.keys()) if (!this.has(key)) yield key;
  }

  /** What is passed by is not kept as objects. */
  *[Symbol.iterator](): Iterator<readonly [string, V]> {
    for (const [key, entry] of this.#entries()) yield [key, entry.look()];
  }

  *keys(): Iterable<string> {
    for (const key of this.#base.keys()) if (this.#over.get(key) === undefined) yield key;
    for (const [key, entry] of this.#over) if (entry !== 'removed') yield key;
  }

  *values(): Iterable<V> {
    for (const [, entry] of this.#entries()) yield entry.look();
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
    for (const [, entry] of this.#entries()) if (values.push(entry) >= valuesMax) yield take();
    if (values.length > 0) yield take();
  }

  *#entries(): Iterable<readonly [string, Packed<V>]> {
    for (const entry of this.#base) if (this.#over.get(entry[0]) === undefined) yield entry;
    for (const [key, entry] of this.#over) if (entry !== 'removed') yield [key, entry];
  }

  /** The entries that may hold kept objects. */
  *#asked(): Iterable<readonly [string, Packed<V>]> {
    for (const entry of this.#base.asked()) {
      if (this.#over.get(entry[0]) === undefined) yield entry;
    }
    for (const [key, entry] of this.#over) if (entry !== 'removed') yield [key, entry];
  }

  #passing(key: string): Packed<V> | undefined {
    const over = this.#over.get(key);
    if (over === 'removed') return undefined;
    return over ?? this.#base.passing(key);
  }

  /** Entries whose value is the same stay what they are, and so do their objects. */
  #replacing(changes: readonly Change<V>[]): PackedMap<V> {
    const over: [string, Packed<V> | 'removed' | undefined][] = [];
    let { size } = this;
    for (const [key, entry] of changes) {
      const before = this.#passing(key);
      if (isSame(entry, before)) continue;
      over.push([key, entry ?? (this.#base.has(key) ? 'removed' : undefined)]);
      size += (entry === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
    }
    return over.length === 0 ? this : new PackedMap(this.#base, this.#over.with(over), size);
  }
}

function newMap<V extends object>(values: ReadonlyMap<string, V | undefined>): PackedMap<V> {
  const builder = new BaseBuilder<V>(0);
  for (const [key, value] of values) {
    if (value !== undefined) builder.add(key, JSON.stringify(value));
  }
  return PackedMap.of(builder.build());
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
