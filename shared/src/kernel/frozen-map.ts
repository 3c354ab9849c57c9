/**
 * An immutable map that shares what did not change with its predecessor: replacing one of 100,000
 * tenants copies one small shard, not the whole map. Keys are strings; iteration order is
 * unspecified but stable per map.
 */

const SHARD_COUNT = 1024;

type Shard<V> = ReadonlyMap<string, V>;

export class FrozenMap<V> implements Iterable<readonly [string, V]> {
  readonly #shards: readonly Shard<V>[];
  readonly size: number;

  private constructor(shards: readonly Shard<V>[], size: number) {
    this.#shards = shards;
    this.size = size;
  }

  static empty<V>(): FrozenMap<V> {
    const empty: Shard<V> = new Map();
    return new FrozenMap<V>(
      Array.from({ length: SHARD_COUNT }, () => empty),
      0,
    );
  }

  static from<V>(entries: Iterable<readonly [string, V]>): FrozenMap<V> {
    return FrozenMap.empty<V>().with(entries);
  }

  get(key: string): V | undefined {
    return (this.#shards[shardOf(key)] as Shard<V>).get(key);
  }

  has(key: string): boolean {
    return (this.#shards[shardOf(key)] as Shard<V>).has(key);
  }

  /** A map with every entry set in order; an `undefined` value removes its key. */
  with(entries: Iterable<readonly [string, V | undefined]>): FrozenMap<V> {
    const shards = this.#shards.slice();
    const own = new Map<number, Map<string, V>>();
    let size = this.size;
    for (const [key, value] of entries) {
      const index = shardOf(key);
      let shard = own.get(index);
      if (shard === undefined) {
        shard = new Map(shards[index]);
        own.set(index, shard);
        shards[index] = shard;
      }
      size -= shard.size;
      if (value === undefined) shard.delete(key);
      else shard.set(key, value);
      size += shard.size;
    }
    return own.size === 0 ? this : new FrozenMap(shards, size);
  }

  /**
   * The keys whose value is another object than in `before`; shards both share are skipped unread.
   */
  *changedKeys(before: FrozenMap<V>): Iterable<string> {
    for (let index = 0; index < SHARD_COUNT; index++) {
      const own = this.#shards[index] as Shard<V>;
      const other = before.#shards[index] as Shard<V>;
      if (own === other) continue;
      for (const [key, value] of own) if (other.get(key) !== value) yield key;
      for (const key of other.keys()) if (!own.has(key)) yield key;
    }
  }

  *[Symbol.iterator](): Iterator<readonly [string, V]> {
    for (const shard of this.#shards) yield* shard;
  }

  *values(): Iterable<V> {
    for (const shard of this.#shards) yield* shard.values();
  }
}

function shardOf(key: string): number {
  return hashText(key) % SHARD_COUNT;
}

/** FNV-1a over UTF-16 code units, 32 bits: spreads short ids well and costs nothing. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}
