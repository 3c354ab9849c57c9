/**
 * Cuts a PostgreSQL byte stream into frames and says what becomes of each; it never decodes a body.
 * Owns: frame boundaries, type and size checks, collecting a split frame whose body is needed.
 * Leaves: meaning to *-messages.ts, verdicts to the handler, sockets to session/ and upstream/.
 * Nothing is allocated per frame, and bytes are copied only of a frame that lies across two chunks:
 * up to 4 bytes of its header or, if its body is needed, the frame.
 * Source: PostgreSQL manual, "Message Formats": type byte, Int32 length that counts itself, body.
 */
import { assert, unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { WireError } from '../wire-error.ts';
import { bodyBytesMaxByType } from './body-limits.ts';
import type { BodyLimits } from './body-limits.ts';
import {
  endOfAlike,
  HEADER_BYTES,
  LENGTH_FIELD_BYTES,
  readLength,
  sizeProblem,
} from './frame-header.ts';
import { showType } from './message-types.ts';

/** The frame's bytes are passed on, in order, by `forward()`. */
export const FORWARD = 0;
/** The frame's bytes are not passed on, also those that have yet to arrive. */
export const DROP = 1;
/** The frame is not consumed: scanning stops, and the next `push()` offers it again. */
export const HOLD = 2;
/**
 * The beginning of the frame is passed on in other words, which `replacement()` gives; the rest
 * follows as it comes.
 */
export const REPLACE = 3;
/**
 * As FORWARD, and the run ends behind this frame: it is passed on before the next `frame()`, the
 * frame whole within it. Only for a frame that is here whole.
 */
export const FORWARD_NOW = 4;
export type FrameVerdict = 0 | 1 | 2 | 3 | 4;

/** What goes out in place of a frame's header and the first bytes of its body. */
export interface Replacement {
  /** Passed on as a run of its own; may hold whole messages before the frame. */
  readonly bytes: Buffer;
  /** How much of the body it stands for; that much must have arrived. */
  readonly bodySkipped: number;
}

export interface FrameHandler {
  /**
   * Whether `frame()` needs the whole body. Called once for each frame, with the size its header
   * declares, and again for a held frame that was not collected.
   * If so, a frame that lies across chunks is collected first, up to `collectBytesMax`; a larger
   * one is a WireError.
   */
  needsBody(type: number, bodyLength: number): boolean;
  /**
   * Called once for each frame, and again for one it held. The body is `buffer[bodyStart,
   * bodyEnd)`: whole if it was needed, else what has arrived of it. Borrowed for the call. Must not
   * call `push()`.
   */
  frame(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict;
  /** Called once after each REPLACE; a handler that never answers REPLACE has none. */
  replacement?(): Replacement;
  /**
   * A run of bytes to pass on: the chunk itself when all of it is, else a part of it, or the
   * collected part of a frame that began in an earlier chunk. The scanner never writes to a run
   * again; it stays valid as long as the chunk.
   */
  forward(run: Buffer): void;
}

export interface FrameScannerOptions extends BodyLimits {
  readonly handler: FrameHandler;
  /** The largest body that is collected: the memory a peer can make this scanner hold. */
  readonly collectBytesMax: number;
  /**
   * Types of which many come in a row. When `frame()` answers FORWARD to one, those that follow it
   * without another between them, and are here whole, are passed on too, and it is not asked.
   */
  readonly serial?: readonly number[];
}

/** A collected frame's buffer starts this small, so that a header alone reserves nothing. */
const COLLECT_BYTES_INITIAL = 8 * 1024;

const EMPTY = Buffer.alloc(0);

/** Between two chunks: where the stream stands in its current frame. */
type Position =
  | 'boundary' // before a frame
  | 'header' // #header holds 1 to 4 bytes
  | 'passing' // the verdict is known, #bodyLeft bytes of the body are to come
  | 'collecting'; // #collected holds the frame so far

export class FrameScanner {
  readonly #handler: FrameHandler;
  /** Largest body by type byte, -1 where the type is not allowed. */
  readonly #bodyBytesMax: Int32Array;
  readonly #collectBytesMax: number;
  readonly #serial: readonly number[];
  #position: Position = 'boundary';
  /** Made when a chunk first ends within one: for most peers none ever does. */
  #header: Buffer = EMPTY;
  #headerBytes = 0;
  #bodyLeft = 0;
  #verdict: typeof FORWARD | typeof DROP = FORWARD;
  #collected: Buffer = EMPTY;
  #collectedBytes = 0;
  #state: 'ready' | 'scanning' | 'failed' = 'ready';
  /** Start of the bytes of the current chunk that are to be forwarded and have not been. */
  #runStart = 0;
  /** Where in the current chunk the frame begins that is being judged. */
  #frameStart = 0;

  constructor(options: FrameScannerOptions) {
    this.#handler = options.handler;
    this.#bodyBytesMax = bodyBytesMaxByType(options);
    this.#collectBytesMax = options.collectBytesMax;
    this.#serial = options.serial ?? [];
  }

  /** True when no frame is partly consumed. */
  get atBoundary(): boolean {
    return this.#position === 'boundary';
  }

  /**
   * Scans a chunk; the chunk must not be changed while runs of it are in use.
   * @returns how many bytes were consumed: all, unless `frame()` answered HOLD. Then at least one
   *   byte is not; pushing the rest again, at once or later, with or without more bytes behind it,
   *   offers the frame again. What earlier chunks brought of a held frame stays with the scanner.
   * @throws WireError when the stream is not the protocol, and what the handler throws; the frames
   *   before it have been forwarded, and the scanner is of no further use.
   */
  push(chunk: Buffer): number {
    assert(this.#state === 'ready', `push() while the scanner is ${this.#state}`);
    this.#state = 'scanning';
    this.#runStart = 0;
    this.#frameStart = 0;
    try {
      const consumed = this.#scan(chunk);
      this.#state = 'ready';
      return consumed;
    } catch (error) {
      this.#state = 'failed';
      // The handler has judged the frames before: whoever is to have them counts on them.
      if (this.#runStart < this.#frameStart) this.#flushRun(chunk, this.#frameStart);
      throw error;
    }
  }

  /** @throws WireError if the stream ends inside a frame. */
  end(): void {
    switch (this.#position) {
      case 'boundary':
        return;
      case 'header':
        throw endedInside('a message header', this.#headerBytes, HEADER_BYTES);
      case 'passing':
        throw new WireError(`the stream ended ${this.#bodyLeft} bytes before a message's end`);
      case 'collecting':
        throw endedInside('a message', this.#collectedBytes, this.#collectedFrameBytes());
      default:
        return unreachable(this.#position);
    }
  }

  /** Finishes what an earlier chunk began, then walks the whole frames of this one. */
  #scan(chunk: Buffer): number {
    if (this.atBoundary || chunk.length === 0) return this.#walk(chunk, 0);
    const at = this.#resume(chunk);
    return this.atBoundary ? this.#walk(chunk, at) : at;
  }

  /** The hot loop. `at` is at a frame boundary. */
  #walk(chunk: Buffer, start: number): number {
    const handler = this.#handler;
    const chunkEnd = chunk.length;
    let at = start;
    while (chunkEnd - at >= HEADER_BYTES) {
      this.#frameStart = at;
      const type = chunk[at] as number;
      const bodyLength = readLength(chunk, at + 1) - LENGTH_FIELD_BYTES;
      this.#check(type, bodyLength);
      const bodyStart = at + HEADER_BYTES;
      const needed = handler.needsBody(type, bodyLength);
      if (bodyLength > chunkEnd - bodyStart) {
        return needed
          ? this.#collectFrom(chunk, at, bodyLength)
          : this.#passFrom(type, chunk, at, bodyStart, bodyLength);
      }
      let next = bodyStart + bodyLength;
      const verdict = handler.frame(type, chunk, bodyStart, next);
      if (verdict === FORWARD) {
        if (this.#serial.includes(type)) next = endOfAlike(chunk, next, type, this.#maxOf(type));
      } else if (verdict === FORWARD_NOW) this.#flushRun(chunk, next);
      else {
        this.#flushRun(chunk, at);
        if (verdict === HOLD) return at;
        this.#runStart = verdict === REPLACE ? this.#replace(bodyStart, next) : next;
      }
      at = next;
    }
    this.#flushRun(chunk, at);
    if (at < chunkEnd) this.#keepHeader(chunk, at);
    return chunkEnd;
  }

  /** Continues the frame an earlier chunk began. @returns how many bytes that consumed. */
  #resume(chunk: Buffer): number {
    switch (this.#position) {
      case 'header':
        return this.#resumeHeader(chunk);
      case 'passing':
        return this.#resumePassing(chunk);
      case 'collecting':
        return this.#resumeCollecting(chunk);
      case 'boundary':
        return 0;
      default:
        return unreachable(this.#position);
    }
  }

  #resumeHeader(chunk: Buffer): number {
    const early = this.#headerBytes;
    const bodyStart = HEADER_BYTES - early;
    chunk.copy(this.#header, early, 0, bodyStart);
    if (chunk.length < bodyStart) {
      this.#headerBytes += chunk.length;
      return chunk.length;
    }
    const type = this.#header[0] as number;
    const bodyLength = readLength(this.#header, 1) - LENGTH_FIELD_BYTES;
    this.#check(type, bodyLength);
    const needed = this.#handler.needsBody(type, bodyLength);
    const arrived = Math.min(bodyLength, chunk.length - bodyStart);
    if (needed && arrived < bodyLength) {
      this.#beginCollecting(this.#header, bodyLength, chunk, 0);
      return this.#resumeCollecting(chunk.subarray(bodyStart)) + bodyStart;
    }
    const bodyEnd = bodyStart + arrived;
    const verdict = this.#handler.frame(type, chunk, bodyStart, bodyEnd);
    // Held: of the header only what earlier chunks brought is kept, the rest is read again.
    if (verdict === HOLD) return 0;
    if (isForward(verdict)) this.#forwardEarly(early, verdict, chunk, bodyEnd);
    else this.#runStart = verdict === REPLACE ? this.#replace(bodyStart, bodyEnd) : bodyEnd;
    this.#headerBytes = 0;
    this.#pass(verdict, bodyLength - arrived, chunk);
    return bodyEnd;
  }

  /** A frame that ends a run is passed on as one: what follows may be somebody else's. */
  #forwardEarly(early: number, verdict: FrameVerdict, chunk: Buffer, end: number): void {
    const header = Buffer.from(this.#header.subarray(0, early));
    if (verdict === FORWARD) return this.#handler.forward(header);
    this.#runStart = end;
    this.#handler.forward(Buffer.concat([header, chunk.subarray(0, end)]));
  }

  #resumePassing(chunk: Buffer): number {
    const passed = Math.min(this.#bodyLeft, chunk.length);
    if (this.#verdict === DROP) this.#runStart = passed;
    this.#pass(this.#verdict, this.#bodyLeft - passed, chunk);
    return passed;
  }

  #resumeCollecting(chunk: Buffer): number {
    const frameBytes = this.#collectedFrameBytes();
    const arrived = Math.min(frameBytes - this.#collectedBytes, chunk.length);
    this.#reserve(this.#collectedBytes + arrived, frameBytes);
    chunk.copy(this.#collected, this.#collectedBytes, 0, arrived);
    if (this.#collectedBytes + arrived < frameBytes) {
      this.#collectedBytes += arrived;
      return arrived;
    }
    const frame = this.#collected.subarray(0, frameBytes);
    const verdict = this.#handler.frame(frame[0] as number, frame, HEADER_BYTES, frameBytes);
    // Held: what this chunk brought stays the caller's, and is copied again with the next push.
    if (verdict === HOLD) return 0;
    if (isForward(verdict)) this.#handler.forward(frame);
    if (verdict === REPLACE) {
      const rest = frame.subarray(this.#replace(HEADER_BYTES, frameBytes));
      if (rest.length > 0) this.#handler.forward(rest);
    }
    this.#collected = EMPTY;
    this.#collectedBytes = 0;
    this.#position = 'boundary';
    this.#runStart = arrived;
    return arrived;
  }

  /** A frame reaches beyond the chunk, and its handler needs it whole. `at` is where it begins. */
  #collectFrom(chunk: Buffer, at: number, bodyLength: number): number {
    this.#beginCollecting(chunk.subarray(at, at + HEADER_BYTES), bodyLength, chunk, at);
    this.#resumeCollecting(chunk.subarray(at + HEADER_BYTES));
    return chunk.length;
  }

  #beginCollecting(header: Buffer, bodyLength: number, chunk: Buffer, at: number): void {
    if (bodyLength > this.#collectBytesMax) {
      const message = `message ${showType(header[0] as number)} of ${bodyLength} bytes`;
      const problem = `${message} cannot be collected, ${this.#collectBytesMax} is the limit`;
      throw new WireError(problem);
    }
    this.#flushRun(chunk, at);
    const frameBytes = HEADER_BYTES + bodyLength;
    this.#collected = Buffer.allocUnsafe(Math.min(frameBytes, COLLECT_BYTES_INITIAL));
    header.copy(this.#collected, 0, 0, HEADER_BYTES);
    this.#collectedBytes = HEADER_BYTES;
    this.#headerBytes = 0;
    this.#position = 'collecting';
  }

  /** A frame reaches beyond the chunk, and its handler can judge it by what has arrived. */
  #passFrom(
    type: number,
    chunk: Buffer,
    at: number,
    bodyStart: number,
    bodyLength: number,
  ): number {
    const verdict = this.#handler.frame(type, chunk, bodyStart, chunk.length);
    if (!isForward(verdict)) {
      this.#flushRun(chunk, at);
      if (verdict === HOLD) return at;
      this.#runStart = verdict === REPLACE ? this.#replace(bodyStart, chunk.length) : chunk.length;
    }
    this.#pass(verdict, bodyLength - (chunk.length - bodyStart), chunk);
    return chunk.length;
  }

  /** Passes the replacement on. @returns where in the buffer the rest of the frame begins. */
  #replace(bodyStart: number, bodyEnd: number): number {
    const replacement = this.#handler.replacement?.();
    assert(replacement !== undefined, 'a handler that answers REPLACE has a replacement');
    const { bytes, bodySkipped } = replacement;
    assert(
      bodySkipped <= bodyEnd - bodyStart,
      `a replacement for ${bodySkipped} bytes of a body of which ${bodyEnd - bodyStart} are here`,
    );
    if (bytes.length > 0) this.#handler.forward(bytes);
    return bodyStart + bodySkipped;
  }

  /** Notes how much of a judged frame is to come; nothing: the next byte begins another frame. */
  #pass(verdict: Exclude<FrameVerdict, typeof HOLD>, bodyLeft: number, chunk: Buffer): void {
    this.#verdict = verdict === DROP ? DROP : FORWARD;
    this.#bodyLeft = bodyLeft;
    this.#position = bodyLeft === 0 ? 'boundary' : 'passing';
    if (bodyLeft > 0) this.#flushRun(chunk, chunk.length);
  }

  /** Grows with what has arrived: a declared length alone reserves next to nothing. */
  #reserve(bytes: number, frameBytes: number): void {
    if (bytes <= this.#collected.length) return;
    const larger = Buffer.allocUnsafe(
      Math.min(frameBytes, Math.max(bytes, this.#collected.length * 2)),
    );
    this.#collected.copy(larger, 0, 0, this.#collectedBytes);
    this.#collected = larger;
  }

  #collectedFrameBytes(): number {
    return readLength(this.#collected, 1) + HEADER_BYTES - LENGTH_FIELD_BYTES;
  }

  #keepHeader(chunk: Buffer, at: number): void {
    if (this.#header === EMPTY) this.#header = Buffer.alloc(HEADER_BYTES);
    chunk.copy(this.#header, 0, at);
    this.#headerBytes = chunk.length - at;
    this.#position = 'header';
  }

  #flushRun(chunk: Buffer, end: number): void {
    const start = this.#runStart;
    this.#runStart = end;
    if (start === end) return;
    const whole = start === 0 && end === chunk.length;
    this.#handler.forward(whole ? chunk : chunk.subarray(start, end));
  }

  #check(type: number, bodyLength: number): void {
    const bodyBytesMax = this.#maxOf(type);
    if (bodyLength >= 0 && bodyLength <= bodyBytesMax) return;
    throw new WireError(sizeProblem(type, bodyLength, bodyBytesMax));
  }

  #maxOf(type: number): number {
    return this.#bodyBytesMax[type] as number;
  }
}

function isForward(verdict: FrameVerdict): verdict is typeof FORWARD | typeof FORWARD_NOW {
  return verdict === FORWARD || verdict === FORWARD_NOW;
}

function endedInside(what: string, bytes: number, expected: number): WireError {
  return new WireError(`the stream ended after ${bytes} of the ${expected} bytes of ${what}`);
}
