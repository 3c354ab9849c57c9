/**
 * When a server connection is read from again while a large result comes. PostgreSQL sends 8 kB at
 * a time, and whoever reads each as it comes pays for every one a wake-up, a read and a write, and
 * the server pays for waking. In one millisecond the kernel gathers a hundred of them.
 * Leaves: reading and resting to server-reads.ts, what is a row to postgres-backend.ts.
 */

/** For so long nothing is read: the shortest that a timer can wait. */
export const REST_MS = 1;
/** So much of a result takes milliseconds: one more is not much. */
export const BYTES_BEFORE_REST = 4 * 1024 * 1024;

export class ReadPace {
  /** Of one result, since it began or a rest has brought little. */
  #bytes = 0;
  #last: 'read' | 'rest' = 'read';

  /** What comes next is not among the rows of the same result. */
  resultEnded(): void {
    this.#bytes = 0;
  }

  /** `bytes` were read, where there was `room`. @returns what to do next */
  after(bytes: number, room: number): 'read' | 'rest' {
    const isAllThereWas = bytes < room;
    // It comes more slowly than it is read: waiting gathers nothing.
    if (isAllThereWas && this.#last === 'rest') this.#bytes = 0;
    this.#bytes += bytes;
    this.#last = isAllThereWas && this.#bytes > BYTES_BEFORE_REST ? 'rest' : 'read';
    return this.#last;
  }
}
