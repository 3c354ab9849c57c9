/** A queue of bytes that grows as needed and allocates nothing while its length stays alike. */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';

export class ByteRing {
  /** Its length is a power of two. */
  #bytes: Uint8Array<ArrayBuffer>;
  #head = 0;
  #length = 0;

  /** @param capacity to begin with, a power of two */
  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** The first; 0 when there is none. */
  get first(): number {
    return this.#length === 0 ? 0 : (this.#bytes[this.#head] as number);
  }

  /** `index` counts from the first, and is below `length`. */
  at(index: number): number {
    return this.#bytes[(this.#head + index) & (this.#bytes.length - 1)] as number;
  }

  push(byte: number): void {
    if (this.#length === this.#bytes.length) this.#grow();
    this.#bytes[(this.#head + this.#length) & (this.#bytes.length - 1)] = byte;
    this.#length++;
  }

  unshift(byte: number): void {
    if (this.#length === this.#bytes.length) this.#grow();
    this.#head = (this.#head - 1) & (this.#bytes.length - 1);
    this.#bytes[this.#head] = byte;
    this.#length++;
  }

  shift(): number {
    assert(this.#length > 0, 'only a queue that is not empty has a first');
    const { first } = this;
    this.#head = (this.#head + 1) & (this.#bytes.length - 1);
    this.#length--;
    return first;
  }

  /** Drops what is behind the first `length`. */
  truncate(length: number): void {
    this.#length = Math.min(this.#length, length);
  }

  #grow(): void {
    const larger = new Uint8Array(this.#bytes.length * 2);
    for (let i = 0; i < this.#length; i++) larger[i] = this.at(i);
    this.#bytes = larger;
    this.#head = 0;
  }
}
