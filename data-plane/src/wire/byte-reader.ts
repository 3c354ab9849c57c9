/**
 * A cursor over one message body that cannot leave it.
 * Owns: bounds of every read. Leaves: meaning of the fields to the message files.
 * Numbers are big-endian ("network byte order").
 */
import { WireError } from './wire-error.ts';

/** How text is read and written; `latin1` keeps every byte, whatever the client's encoding. */
export type TextEncoding = 'utf8' | 'latin1';

export class ByteReader {
  readonly #what: string;
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;

  /** Reads `buffer[start, end)`, borrowed; `what` names the message in errors. */
  constructor(what: string, buffer: Buffer, start = 0, end: number = buffer.length) {
    this.#what = what;
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#end - this.#at;
  }

  int8(): number {
    return this.#buffer.readInt8(this.#take(1));
  }

  uint8(): number {
    return this.#buffer.readUInt8(this.#take(1));
  }

  int16(): number {
    return this.#buffer.readInt16BE(this.#take(2));
  }

  uint16(): number {
    return this.#buffer.readUInt16BE(this.#take(2));
  }

  int32(): number {
    return this.#buffer.readInt32BE(this.#take(4));
  }

  uint32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  /** The text up to the next zero byte, which is read too. @throws WireError when there is none. */
  cstring(encoding: TextEncoding = 'utf8'): string {
    const start = this.#at;
    const zero = this.#zeroByte();
    this.#at = zero + 1;
    return this.#buffer.toString(encoding, start, zero);
  }

  /** Steps over a cstring without making it a string. */
  skipCstring(): void {
    this.#at = this.#zeroByte() + 1;
  }

  /** The next `count` bytes, borrowed from the input buffer. */
  bytes(count: number): Buffer {
    const start = this.#take(count);
    return this.#buffer.subarray(start, start + count);
  }

  /** All bytes that are left, borrowed from the input buffer. */
  rest(): Buffer {
    return this.bytes(this.left);
  }

  /** @throws WireError when bytes are left: the message is longer than its fields. */
  end(): void {
    if (this.left > 0) this.#refuse(`${this.left} bytes are left after its last field, 0 expected`);
  }

  /** @throws WireError unless `count` entries of at least `entryBytes` each can follow. */
  expectRoomFor(count: number, entryBytes: number): void {
    if (count * entryBytes > this.left) {
      this.#refuse(`${count} entries need ${count * entryBytes} bytes, ${this.left} are left`);
    }
  }

  /** The offset of the next zero byte; finds none beyond the message. */
  #zeroByte(): number {
    const { buffer, at, end } = { buffer: this.#buffer, at: this.#at, end: this.#end };
    // Names are short: looking nearby first spares most calls of indexOf() and its subarray().
    const near = Math.min(end, at + 64);
    for (let i = at; i < near; i++) if (buffer[i] === 0) return i;
    const zero = near === end ? -1 : buffer.subarray(near, end).indexOf(0);
    if (zero === -1) this.#refuse(`a string has no end within the ${this.left} bytes left`);
    return near + zero;
  }

  #take(count: number): number {
    const start = this.#at;
    if (count < 0) this.#refuse(`a field declares ${count} bytes, at least 0 expected`);
    if (count > this.#end - start) {
      this.#refuse(`a field needs ${count} bytes, ${this.#end - start} are left`);
    }
    this.#at = start + count;
    return start;
  }

  #refuse(problem: string): never {
    throw new WireError(`${this.#what}: ${problem}`);
  }
}
