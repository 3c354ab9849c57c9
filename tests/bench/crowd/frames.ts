/**
 * Cuts what a server sends into frames, for a load generator: bodies are looked at only where
 * they are whole in one chunk or somebody asks for them.
 * Source: PostgreSQL manual, "Message Formats".
 */

/** `body` borrows the chunk: it is valid during the call. */
export type OnFrame = (type: number, body: Uint8Array) => void;

const HEADER_BYTES = 5;
const EMPTY = new Uint8Array(0);

export class Frames {
  readonly #onFrame: OnFrame;
  /** The begun frame of former chunks, a copy. */
  #rest: Uint8Array = EMPTY;

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  push(chunk: Uint8Array): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + HEADER_BYTES <= bytes.length) {
      const end = at + 1 + lengthAt(bytes, at + 1);
      if (end > bytes.length) break;
      this.#onFrame(bytes[at] ?? 0, bytes.subarray(at + HEADER_BYTES, end));
      at = end;
    }
    this.#rest = at === bytes.length ? EMPTY : bytes.slice(at);
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  const byte = (offset: number): number => bytes[at + offset] ?? 0;
  return byte(0) * 0x1000000 + ((byte(1) << 16) | (byte(2) << 8) | byte(3));
}
