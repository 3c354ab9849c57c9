/**
 * What one server connection reads into: one buffer, used again for each read. It grows while reads
 * fill it, and shrinks when they have become small. Over large results it rests between reads.
 * Owns: the buffer of the connection, and when another takes its place. Leaves: what the bytes mean
 * to who consumes them, when to rest to read-pace.ts, memory to buffers/.
 * Source: Node, `onread` of net.Socket: the buffer function is asked after each read where the next
 * one goes to; no more is read when the callback answers false.
 */
import type { OnReadOpts, Socket } from 'node:net';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { BufferPool } from '../buffers/buffer-pool.ts';
import { ReadPace, REST_MS } from './read-pace.ts';

/** Reads in a row that leave three quarters of a large buffer empty before it is given back. */
const SMALL_READS_MAX = 16;
const GROWTH = 4;

const NOTHING = Buffer.alloc(0);

/** Borrowed for the call, unless `keep` or `lendTo` is called within it. */
export type ReadConsumer = (chunk: Buffer) => void;

/** A buffer that sockets have yet to send from. */
interface Loan {
  readonly buffer: Buffer;
  borrowers: number;
  /** `discarded`: one that is gone may have left its write to the kernel, or somebody keeps it. */
  ends: 'used_again' | 'discarded';
}

export class ServerReads {
  /** For the socket that is connected. */
  readonly onread: OnReadOpts;
  readonly pace = new ReadPace();
  readonly #pool: BufferPool;
  readonly #clock: Clock;
  #socket: Socket | undefined;
  #rest: Timer | undefined;
  #buffer: Buffer;
  #consumer: ReadConsumer | undefined;
  /** Somebody has yet to read what is in the buffer. */
  #isLent = false;
  /** To whom, while that is sockets. */
  #loan: Loan | undefined;
  #smallReads = 0;
  #nextBytes: number;
  #state: 'open' | 'closed' = 'open';

  constructor(pool: BufferPool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
    this.#nextBytes = pool.initialBytes;
    this.#buffer = pool.get();
    this.onread = {
      buffer: () => this.#next(),
      callback: (bytes) => this.#received(bytes),
    };
  }

  /** The socket that reads with `onread`; once it is closed, nothing is read any more. */
  readFrom(socket: Socket): void {
    this.#socket = socket;
    socket.once('close', () => this.close());
  }

  /** Who has what is read from now on; a server says nothing before it is spoken to. */
  consume(consumer: ReadConsumer | undefined): void {
    this.#consumer = consumer;
  }

  /** What was just read is kept by somebody, for as long as they like: it is not written over. */
  keep(): void {
    if (this.#loan !== undefined) this.#loan.ends = 'discarded';
    else if (!this.#isLent) this.#pool.discard(this.#buffer);
    this.#isLent = true;
  }

  /**
   * The same until `socket` has sent everything that was written to it by now; of several sockets,
   * which share what was read, until the last of them has.
   */
  lendTo(socket: Socket): void {
    if (this.#isLent && this.#loan === undefined) return;
    this.#isLent = true;
    const loan = (this.#loan ??= { buffer: this.#buffer, borrowers: 0, ends: 'used_again' });
    loan.borrowers += 1;
    socket.write(NOTHING, (error) => this.#returned(loan, error ? 'discarded' : 'used_again'));
  }

  #returned(loan: Loan, as: Loan['ends']): void {
    loan.borrowers -= 1;
    if (as === 'discarded') loan.ends = as;
    if (loan.borrowers > 0) return;
    if (loan === this.#loan) this.#loan = undefined;
    if (loan.ends === 'discarded') this.#pool.discard(loan.buffer);
    else this.#pool.put(loan.buffer);
  }

  /** Nothing is read any more. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#consumer = undefined;
    this.#rest?.cancel();
    if (!this.#isLent) this.#pool.put(this.#buffer);
    this.#isLent = true;
  }

  #received(bytes: number): boolean {
    const { length } = this.#buffer;
    if (bytes === length) this.#grow();
    else if (bytes > length / GROWTH) this.#smallReads = 0;
    else if (length > this.#pool.initialBytes) this.#shrink();
    this.#consumer?.(bytes === length ? this.#buffer : this.#buffer.subarray(0, bytes));
    return this.pace.after(bytes, length) === 'read' || !this.#restsNow();
  }

  /** Whoever pauses the socket meanwhile resumes it; who resumes it earlier ends the rest. */
  #restsNow(): boolean {
    const socket = this.#socket;
    if (socket === undefined || this.#state === 'closed') return false;
    this.#rest?.cancel();
    this.#rest = this.#clock.after(REST_MS, () => {
      if (!socket.isPaused()) socket.resume();
    });
    return true;
  }

  #grow(): void {
    this.#smallReads = 0;
    this.#nextBytes = Math.min(this.#pool.maxBytes, this.#buffer.length * GROWTH);
  }

  #shrink(): void {
    this.#smallReads += 1;
    if (this.#smallReads > SMALL_READS_MAX) this.#nextBytes = this.#pool.initialBytes;
  }

  #next(): Buffer {
    if (this.#state === 'closed') return this.#buffer;
    const isRight = this.#buffer.length === this.#nextBytes;
    if (isRight && !this.#isLent) return this.#buffer;
    if (!this.#isLent) this.#pool.put(this.#buffer);
    this.#isLent = false;
    this.#loan = undefined;
    this.#smallReads = 0;
    this.#buffer = this.#pool.get(this.#nextBytes);
    return this.#buffer;
  }
}
