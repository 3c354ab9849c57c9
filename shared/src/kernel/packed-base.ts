/**
 * Many packed values that came together, with an index that takes some twenty bytes for each: no
 * object is made of an entry before somebody asks for it. Never changed; what is kept of it is.
 * A part of packed-map.ts.
 */
import { hashText } from './frozen-map.ts';
import { Packed, Packer } from './packed.ts';

/** As it can be posted to another thread, which the buffers are transferred to. */
export interface BaseParts {
  /** One behind the other, without anything between. */
  readonly keys: string;
  /** Where each key ends. */
  readonly keyEnds: Uint32Array;
  /** Of each key: which of the buffers, and where its value begins and ends there. */
  readonly places: Uint32Array;
  /** By the hash of a key and from there on: its number, from 1; 0 is free. */
  readonly table: Uint32Array;
  readonly buffers: readonly ArrayBuffer[];
}

export class PackedBase<V extends object> {
  readonly #parts: BaseParts;
  readonly #buffers: readonly Buffer[];
  /** What was asked for, and is kept as objects. */
  readonly #asked = new Map<string, Packed<V>>();

  readonly #held = new WeakMap<Buffer, boolean>();

  constructor(parts: BaseParts) {
    this.#parts = parts;
    this.#buffers = parts.buffers.map((buffer) => Buffer.from(buffer));
  }

  get size(): number {
    return this.#parts.keyEnds.length;
  }

  has(key: string): boolean {
    return this.#find(key) !== undefined;
  }

  /** The entry for who will keep its value: the same one each time. */
  entry(key: string): Packed<V> | undefined {
    const asked = this.#asked.get(key);
    if (asked !== undefined) return asked;
    const number = this.#find(key);
    if (number === undefined) return undefined;
    const entry = this.#entryAt(number);
    this.#asked.set(key, entry);
    return entry;
  }

  /** The entry for who looks at it once. */
  passing(key: string): Packed<V> | undefined {
    const asked = this.#asked.get(key);
    if (asked !== undefined) return asked;
    const number = this.#find(key);
    return number === undefined ? undefined : this.#entryAt(number);
  }

  /** The entries that were asked for. */
  asked(): Iterable<readonly [string, Packed<V>]> {
    return this.#asked;
  }

  *keys(): Iterable<string> {
    for (let number = 0; number < this.size; number += 1) yield this.#keyAt(number);
  }

  /** Whether any of the values holds these bytes; looked for once. */
  holds(part: Buffer): boolean {
    let found = this.#held.get(part);
    if (found === undefined) {
      found = this.#buffers.some((buffer) => buffer.includes(part));
      this.#held.set(part, found);
    }
    return found;
  }

  *[Symbol.iterator](): Iterator<readonly [string, Packed<V>]> {
    for (let number = 0; number < this.size; number += 1) {
      const key = this.#keyAt(number);
      yield [key, this.#asked.get(key) ?? this.#entryAt(number)];
    }
  }

  toParts(): BaseParts {
    return this.#parts;
  }

  #find(key: string): number | undefined {
    const { table } = this.#parts;
    const mask = table.length - 1;
    for (let slot = hashText(key) & mask; ; slot = (slot + 1) & mask) {
      const number = (table[slot] ?? 0) - 1;
      if (number < 0) return undefined;
      if (this.#isKey(number, key)) return number;
    }
  }

  #isKey(number: number, key: string): boolean {
    const { keys, keyEnds } = this.#parts;
    const start = number === 0 ? 0 : (keyEnds[number - 1] ?? 0);
    return keyEnds[number] === start + key.length && keys.startsWith(key, start);
  }

  #keyAt(number: number): string {
    const { keys, keyEnds } = this.#parts;
    return keys.slice(number === 0 ? 0 : keyEnds[number - 1], keyEnds[number]);
  }

  #entryAt(number: number): Packed<V> {
    const { places } = this.#parts;
    const [at, bytes] = [number * 3, this.#buffers[places[number * 3] ?? -1]];
    if (bytes === undefined) throw new RangeError(`entry ${number} is in no buffer`);
    return new Packed<V>(bytes, places[at + 1] ?? 0, places[at + 2] ?? 0);
  }
}

/** Takes entries one by one, so that nobody holds all of them as objects or texts. */
export class BaseBuilder<V extends object> {
  readonly #packer: Packer<V>;
  readonly #entries = new Map<string, Packed<V>>();

  /** @param bytes about as many as all of their texts have */
  constructor(bytes: number) {
    this.#packer = new Packer<V>(bytes);
  }

  /**
   * @param text the value, as `JSON.stringify` writes it
   * @returns whether the key was there already; the new value replaces the other one
   */
  add(key: string, text: string): 'new' | 'repeated' {
    const known = this.#entries.size;
    this.#entries.set(key, this.#packer.pack(text));
    return this.#entries.size > known ? 'new' : 'repeated';
  }

  build(): PackedBase<V> {
    const count = this.#entries.size;
    const shared = new Map<Buffer, number>();
    const keyEnds = new Uint32Array(count);
    const places = new Uint32Array(count * 3);
    const table = new Uint32Array(tableLength(count));
    let number = 0;
    let keysLength = 0;
    for (const [key, { place }] of this.#entries) {
      const [bytes, start, end] = place;
      const index = shared.get(bytes) ?? shared.size;
      shared.set(bytes, index);
      places.set([index, start, end], number * 3);
      keysLength += key.length;
      keyEnds[number] = keysLength;
      number += 1;
      insert(table, key, number);
    }
    const keys = [...this.#entries.keys()].join('');
    const buffers = Array.from(shared.keys(), ({ buffer }) => buffer as ArrayBuffer);
    return new PackedBase<V>({ keys, keyEnds, places, table, buffers });
  }
}

/** A power of two, of which at least half is free. */
function tableLength(count: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, count) * 2));
}

function insert(table: Uint32Array, key: string, number: number): void {
  const mask = table.length - 1;
  let slot = hashText(key) & mask;
  while (table[slot] !== 0) slot = (slot + 1) & mask;
  table[slot] = number;
}
