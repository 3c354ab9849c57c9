/**
 * One use of a prepared statement as it went to the server, from its Bind on, to be sent once more
 * if the server finds the statement outdated.
 * Owns: the bytes, up to a limit. Leaves: whether that may be done to exclusive-lease.ts.
 */
import { closeMessage, parseMessage } from './messages.ts';
import type { PreparedStatement } from './statement-catalogue.ts';

/** A longer use is not repeated: its client reads the server's error. */
const REPLAY_BYTES_MAX = 64 * 1024;

export class Replay {
  readonly statement: PreparedStatement;
  /** What is sent in place of the beginning of the Bind, messages before it included. */
  readonly #first: Buffer;
  readonly #parts: Buffer[];
  #bytes = 0;
  #state: 'expected' | 'recording' | 'too_long' = 'expected';

  /** @param first will be sent; it ends in `head`, the beginning of the Bind */
  constructor(statement: PreparedStatement, first: Buffer, head: Buffer) {
    this.statement = statement;
    this.#first = first;
    this.#parts = [head];
  }

  /** Bytes are sent to the server; they are not changed later. */
  record(run: Buffer): void {
    if (this.#state === 'recording') this.#add(run);
    else if (run === this.#first) this.#state = 'recording';
  }

  #add(run: Buffer): void {
    this.#bytes += run.length;
    if (this.#bytes <= REPLAY_BYTES_MAX) return void this.#parts.push(run);
    this.#state = 'too_long';
    this.#parts.length = 0;
  }

  /** What to send; undefined when it was too long to be kept. */
  get message(): Buffer | undefined {
    if (this.#state !== 'recording') return undefined;
    return Buffer.concat([
      closeMessage(this.statement),
      parseMessage(this.statement),
      ...this.#parts,
    ]);
  }
}
