/**
 * Memory that is used again: buffers in sizes that double, shared by everything of one process that
 * needs one for a while. What is used again is not allocated, zeroed and collected again.
 * Owns: what is free, the bound on it, its counts. Leaves: what a buffer is for to who takes it.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';

/** Free memory that is kept for the next who needs it; more is left to the garbage collector. */
const FREE_BYTES_MAX = 16 * 1024 * 1024;

export interface BufferPoolOptions {
  /** The smallest buffer. */
  readonly initialBytes: number;
  /** The largest that is kept for the next use; a larger one is made for one use alone. */
  readonly maxBytes: number;
  readonly freeBytesMax?: number;
}

/** Totals since the start. */
export interface BufferPoolCounts {
  /** Buffers that were asked for. */
  gets: number;
  /** Those of them that had to be allocated. */
  misses: number;
  /** Buffers that were given back. */
  returns: number;
  /** Buffers that were left to the garbage collector: too large, too many, or not given back. */
  discards: number;
}

export class BufferPool {
  readonly initialBytes: number;
  readonly maxBytes: number;
  readonly counts: Readonly<BufferPoolCounts>;
  readonly #counts: BufferPoolCounts = { gets: 0, misses: 0, returns: 0, discards: 0 };
  readonly #freeBytesMax: number;
  /** By size; each size is twice the one before, and the last is `maxBytes`. */
  readonly #free = new Map<number, Buffer[]>();
  #freeBytes = 0;
  #takenBytes = 0;

  constructor({ initialBytes, maxBytes, freeBytesMax = FREE_BYTES_MAX }: BufferPoolOptions) {
    assert(
      initialBytes > 0 && initialBytes <= maxBytes,
      `buffers of ${initialBytes} to ${maxBytes} bytes`,
    );
    this.initialBytes = initialBytes;
    this.maxBytes = maxBytes;
    this.counts = this.#counts;
    this.#freeBytesMax = freeBytesMax;
    for (let size = initialBytes; size < maxBytes; size *= 2) this.#free.set(size, []);
    this.#free.set(maxBytes, []);
  }

  /** Bytes of the buffers that nobody has. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** Bytes of the buffers that were taken, and neither returned nor discarded. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** A buffer of at least `bytes`, with anything in it; the caller's until `put` or `discard`. */
  get(bytes: number = this.initialBytes): Buffer {
    const size = this.sizeFor(bytes);
    this.#counts.gets += 1;
    this.#takenBytes += size;
    const free = this.#free.get(size)?.pop();
    if (free !== undefined) {
      this.#freeBytes -= size;
      return free;
    }
    this.#counts.misses += 1;
    // Not out of the memory that Node shares between small buffers, which lives as long as any.
    return Buffer.allocUnsafeSlow(size);
  }

  /** Gives a buffer of `get` back; nobody may read or write it from here on. */
  put(buffer: Buffer): void {
    const { length } = buffer;
    const free = this.#free.get(length);
    if (free === undefined || this.#freeBytes + length > this.#freeBytesMax) {
      return this.discard(buffer);
    }
    this.#takenBytes -= length;
    this.#counts.returns += 1;
    this.#freeBytes += length;
    free.push(buffer);
  }

  /** Gives a buffer of `get` up, to those who still read it. */
  discard({ length }: Buffer): void {
    this.#takenBytes -= length;
    this.#counts.discards += 1;
  }

  /** The size of a buffer for so many bytes. */
  sizeFor(bytes: number): number {
    if (bytes > this.maxBytes) return bytes;
    let size = this.initialBytes;
    while (size < bytes) size *= 2;
    return Math.min(size, this.maxBytes);
  }
}
