/**
 * Builds one message in a growing buffer; numbers are big-endian.
 * Owns: growth and the refusal of values a field cannot carry.
 * Leaves: framing to the message files.
 */
import { WireError } from './wire-error.ts';
import type { TextEncoding } from './byte-reader.ts';

const INITIAL_BYTES = 64;

export class ByteWriter {
  #buffer: Buffer;
  #at = 0;

  constructor(initialBytes: number = INITIAL_BYTES) {
    this.#buffer = Buffer.allocUnsafe(Math.max(1, initialBytes));
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#at;
  }

  int8(value: number): this {
    const at = this.#grow(1);
    this.#buffer.writeInt8(value, at);
    return this;
  }

  uint8(value: number): this {
    const at = this.#grow(1);
    this.#buffer.writeUInt8(value, at);
    return this;
  }

  int16(value: number): this {
    const at = this.#grow(2);
    this.#buffer.writeInt16BE(value, at);
    return this;
  }

  uint16(value: number): this {
    const at = this.#grow(2);
    this.#buffer.writeUInt16BE(value, at);
    return this;
  }

  int32(value: number): this {
    const at = this.#grow(4);
    this.#buffer.writeInt32BE(value, at);
    return this;
  }

  uint32(value: number): this {
    const at = this.#grow(4);
    this.#buffer.writeUInt32BE(value, at);
    return this;
  }

  /** @throws WireError when `text` holds a zero byte: the rest would be read as the next field. */
  cstring(text: string, encoding: TextEncoding = 'utf8'): this {
    refuseZeroByte(text);
    return this.text(text, encoding).uint8(0);
  }

  /** Text without a terminator. */
  text(text: string, encoding: TextEncoding = 'utf8'): this {
    const at = this.#grow(Buffer.byteLength(text, encoding));
    this.#buffer.write(text, at, encoding);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length);
    this.#buffer.set(bytes, at);
    return this;
  }

  /** Overwrites four bytes written before, for a length known only at the end. */
  patchInt32(at: number, value: number): this {
    this.#buffer.writeInt32BE(value, at);
    return this;
  }

  /** What was written; the writer must not be used again. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  #grow(count: number): number {
    const start = this.#at;
    const needed = start + count;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, start);
      this.#buffer = larger;
    }
    this.#at = needed;
    return start;
  }
}

/** @throws WireError when `text` cannot be a zero-terminated string. */
export function refuseZeroByte(text: string): void {
  const at = text.indexOf('\0');
  if (at !== -1) {
    throw new WireError(`a text of ${text.length} characters holds a zero byte at ${at}`);
  }
}
