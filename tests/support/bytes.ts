/**
 * Spells expected bytes field by field, so that a codec is never tested with itself.
 * Never imports from wire/; slow and plain on purpose: a list of numbers.
 */
export class Bytes {
  readonly #bytes: number[] = [];

  int8(value: number): this {
    return this.#integer(value, 1);
  }

  int16(value: number): this {
    return this.#integer(value, 2);
  }

  int32(value: number): this {
    return this.#integer(value, 4);
  }

  /** UTF-8, without a terminator. */
  text(text: string): this {
    this.#bytes.push(...new TextEncoder().encode(text));
    return this;
  }

  /** UTF-8 and a zero byte. */
  cstring(text: string): this {
    return this.text(text).int8(0);
  }

  raw(...bytes: readonly number[]): this {
    this.#bytes.push(...bytes);
    return this;
  }

  get length(): number {
    return this.#bytes.length;
  }

  toBuffer(): Buffer {
    return Buffer.from(this.#bytes);
  }

  /** Big-endian; negative numbers as two's complement. */
  #integer(value: number, bytes: number): this {
    for (let shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
      this.#bytes.push(Math.floor(value / 2 ** shift) & 0xff);
    }
    return this;
  }
}

export function bytes(): Bytes {
  return new Bytes();
}

/** A PostgreSQL message: type letter, length that counts itself, body. */
export function message(letter: string, body: Bytes = bytes()): Buffer {
  const header = bytes()
    .text(letter)
    .int32(body.length + 4);
  return Buffer.concat([header.toBuffer(), body.toBuffer()]);
}

/** A PostgreSQL first packet: length that counts itself, body. */
export function packet(body: Bytes): Buffer {
  const header = bytes().int32(body.length + 4);
  return Buffer.concat([header.toBuffer(), body.toBuffer()]);
}

/** Cuts `whole` at the given offsets, in any order. */
export function cutAt(whole: Buffer, offsets: readonly number[]): Buffer[] {
  const edges = [0, ...offsets.toSorted((a, b) => a - b), whole.length];
  return edges.slice(1).map((end, i) => whole.subarray(edges[i], end));
}

/** `whole` in pieces of `size` bytes. */
export function piecesOf(whole: Buffer, size: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < whole.length; at += size) pieces.push(whole.subarray(at, at + size));
  return pieces;
}
