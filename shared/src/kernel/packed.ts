/**
 * One value as JSON in bytes that others may share, and as an object once somebody keeps it. A part
 * of packed-map.ts.
 */

/** What values that come together share; a longer one has its bytes alone. */
const SHARED_BYTES = 1024 * 1024;
/** UTF-8 of a UTF-16 unit. */
const BYTES_PER_UNIT_MAX = 3;

export type Place = readonly [bytes: Buffer, start: number, end: number];

export class Packed<V extends object> {
  readonly #bytes: Buffer;
  readonly #start: number;
  readonly #end: number;
  #kept: V | undefined;

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
  }

  get text(): string {
    return this.#bytes.toString('utf8', this.#start, this.#end);
  }

  /** Whether its JSON holds these bytes. */
  holds(part: Buffer): boolean {
    return this.#bytes.subarray(this.#start, this.#end).includes(part);
  }

  get byteLength(): number {
    return this.#end - this.#start;
  }

  /** Where its bytes are. */
  get place(): Place {
    return [this.#bytes, this.#start, this.#end];
  }

  /** Writes its JSON to `target`. */
  copyTo(target: Buffer, at: number): void {
    this.#bytes.copy(target, at, this.#start, this.#end);
  }

  get kept(): V | undefined {
    return this.#kept;
  }

  keep(): V {
    return (this.#kept ??= this.#parse());
  }

  look(): V {
    return this.#kept ?? this.#parse();
  }

  /** Keeps `value`, which is the same, instead of one of its own. */
  take(value: V): void {
    this.#kept = value;
  }

  equals(other: Packed<V>): boolean {
    const length = this.#end - this.#start;
    if (length !== other.#end - other.#start) return false;
    const [from, to] = [this.#start, this.#end];
    return this.#bytes.compare(other.#bytes, other.#start, other.#end, from, to) === 0;
  }

  /** The same value in bytes of its own. */
  alone(): Packed<V> {
    const packed = packAlone<V>(this.text);
    if (this.#kept !== undefined) packed.take(this.#kept);
    return packed;
  }

  #parse(): V {
    return Object.freeze(JSON.parse(this.text) as V);
  }
}

/** In bytes of its own. */
export function packAlone<V extends object>(text: string): Packed<V> {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  return new Packed<V>(bytes, 0, bytes.write(text));
}

/** Packs many values that come together, and will mostly stay together. */
export class Packer<V extends object> {
  #bytes: Buffer;
  #used = 0;

  /** @param bytes how many they are likely to need: one piece of memory is given back as a whole */
  constructor(bytes = 0) {
    this.#bytes = Buffer.allocUnsafeSlow(bytes);
  }

  pack(text: string): Packed<V> {
    const bytesMax = text.length * BYTES_PER_UNIT_MAX;
    if (bytesMax > SHARED_BYTES / 2) return packAlone(text);
    if (this.#used + bytesMax > this.#bytes.length) {
      this.#bytes = Buffer.allocUnsafeSlow(SHARED_BYTES);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += this.#bytes.write(text, start);
    return new Packed<V>(this.#bytes, start, this.#used);
  }
}
