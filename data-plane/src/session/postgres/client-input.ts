/**
 * A client's bytes in their order: scanned as they come, kept while they cannot be handled.
 * Owns: the scanner of one client, what is kept and its bound. Leaves: messages to its handler.
 */
import type { Socket } from 'node:net';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { FrameScanner } from '../../wire/postgres/frame-scanner.ts';
import type { FrameHandler } from '../../wire/postgres/frame-scanner.ts';
import { clientBodyBytesMax } from '../../wire/postgres/limits.ts';
import { FRONTEND, FRONTEND_TYPES } from '../../wire/postgres/message-types.ts';
import { asSessionError } from './session-errors.ts';
import { TEXT_BYTES_MAX } from './statement-watch.ts';

/** One for all clients. */
const SERIAL = [FRONTEND.CopyData];

/** Bytes that are kept before the client's socket is paused. */
const KEPT_BYTES_MAX = 256 * 1024;

export class ClientInput {
  readonly #socket: Socket;
  readonly #log: Logger;
  readonly #scanner: FrameScanner;
  #kept: Buffer[] | undefined;
  #keptBytes = 0;

  constructor(socket: Socket, handler: FrameHandler, log: Logger) {
    this.#socket = socket;
    this.#log = log;
    this.#scanner = new FrameScanner({
      handler,
      allowed: FRONTEND_TYPES,
      bodyBytesMax: clientBodyBytesMax,
      collectBytesMax: TEXT_BYTES_MAX,
      serial: SERIAL,
    });
  }

  get hasKept(): boolean {
    return this.#keptBytes > 0;
  }

  /** More is kept than may be: the client has to wait. */
  get isFull(): boolean {
    return this.#keptBytes > KEPT_BYTES_MAX;
  }

  /** Whether no message has been passed on in part. */
  get atBoundary(): boolean {
    return this.#scanner.atBoundary;
  }

  keep(chunk: Buffer): void {
    if (this.#kept === undefined) this.#kept = [chunk];
    else this.#kept.push(chunk);
    this.#keptBytes += chunk.length;
    if (this.isFull) this.#socket.pause();
  }

  /** Nothing waits, and the client's next byte begins a message. */
  get isEmpty(): boolean {
    return !this.hasKept && this.atBoundary;
  }

  /** Bytes that came before what is kept. */
  keepFirst(chunk: Buffer): void {
    this.#kept = [chunk, ...(this.#kept ?? [])];
    this.#keptBytes += chunk.length;
  }

  /**
   * Hands over the messages of what was kept and of `chunk`; what the handler holds is kept again.
   * @returns what ends the session: the client broke the protocol, or a message cannot be served
   */
  scan(chunk?: Buffer): AppError | undefined {
    const bytes = this.#together(chunk);
    if (bytes === undefined) return undefined;
    try {
      const consumed = this.#scanner.push(bytes);
      if (consumed < bytes.length) this.keep(bytes.subarray(consumed));
      return undefined;
    } catch (error) {
      return asSessionError(error, this.#log);
    }
  }

  #together(chunk: Buffer | undefined): Buffer | undefined {
    const kept = this.#kept;
    if (kept === undefined) return chunk;
    if (chunk !== undefined) kept.push(chunk);
    this.drop();
    return kept.length === 1 ? kept[0] : Buffer.concat(kept);
  }

  drop(): void {
    this.#kept = undefined;
    this.#keptBytes = 0;
  }
}
