/**
 * Many buckets that leak at the same rate, by key. What was used least recently is forgotten where
 * there are too many: a flood of keys costs a bounded memory.
 */
export interface LeakyBucketsOptions {
  /** No bucket is fuller. */
  readonly levelMax: number;
  readonly leakPerMs: number;
  readonly keysMax: number;
}

interface Bucket {
  level: number;
  atMs: number;
}

export class LeakyBuckets {
  readonly #options: LeakyBucketsOptions;
  /** The least recently used first: a key that is used is taken out and put in again. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: LeakyBucketsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** How full the key's bucket is; undefined when there is none. */
  level(key: string, nowMs: number): number | undefined {
    const bucket = this.#buckets.get(key);
    return bucket === undefined ? undefined : this.#levelAt(bucket, nowMs);
  }

  /** Makes the bucket if there is none. */
  add(key: string, amount: number, nowMs: number): void {
    const { levelMax, keysMax } = this.#options;
    const bucket = this.#buckets.get(key) ?? { level: 0, atMs: nowMs };
    this.#buckets.delete(key);
    bucket.level = Math.min(levelMax, this.#levelAt(bucket, nowMs) + amount);
    bucket.atMs = nowMs;
    this.#buckets.set(key, bucket);
    if (this.#buckets.size <= keysMax) return;
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }

  #levelAt({ level, atMs }: Bucket, nowMs: number): number {
    return Math.max(0, level - (nowMs - atMs) * this.#options.leakPerMs);
  }
}
