/**
 * Where the lines of a log go: a descriptor, written at once, so that the last line before a crash
 * is there.
 * A log that cannot be written (a full disk, a terminal or a reader that is gone) ends nothing: its
 * lines are dropped and counted, and the next one that gets through says how many were.
 */
import { writeSync } from 'node:fs';

/** As `writeSync`: how many of the bytes from `offset` on were taken. @throws system errors */
export type WriteBytes = (bytes: Uint8Array, offset: number) => number;

/**
 * A pipe that does not block and is full is tried again for some 50 ms; clients wait meanwhile.
 */
const TRIES_MAX = 10;
const TRY_AGAIN_MS = 5;

export class LineWriter {
  readonly #write: WriteBytes;
  readonly #tellLost: (lines: number, why: string) => string;
  #lost = 0;
  #why = '';
  /** A line was cut off: the next one must not go on in it. */
  #isCut = false;

  /** @param tellLost the line that says how many were lost, with its end */
  constructor(write: WriteBytes, tellLost: (lines: number, why: string) => string) {
    this.#write = write;
    this.#tellLost = tellLost;
  }

  /** @param line with its end; never throws */
  write(line: string): void {
    const lost = this.#lost > 0 ? this.#tellLost(this.#lost, this.#why) : '';
    try {
      this.#writeAll(Buffer.from(`${this.#isCut ? '\n' : ''}${lost}${line}`));
      this.#lost = 0;
      this.#isCut = false;
    } catch (error) {
      this.#lost += 1;
      this.#why = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    }
  }

  #writeAll(bytes: Uint8Array): void {
    let tries = 0;
    for (let offset = 0; offset < bytes.length;) {
      try {
        offset += this.#write(bytes, offset);
        this.#isCut = offset < bytes.length;
      } catch (error) {
        tries += 1;
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || tries > TRIES_MAX) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TRY_AGAIN_MS);
      }
    }
  }
}

export function toDescriptor(fd: number): WriteBytes {
  return (bytes, offset) => writeSync(fd, bytes, offset);
}
