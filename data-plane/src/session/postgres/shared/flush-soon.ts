/**
 * Writes what was gathered in one turn of the event loop at its end: what many clients have sent at
 * about the same time goes out as one write for each server connection.
 */
export interface Flushable {
  flush(): void;
}

export class FlushSoon {
  #waiting: Flushable[] = [];
  #spare: Flushable[] = [];

  /** @param flushable is flushed once, when all sockets that were ready have been read */
  add(flushable: Flushable): void {
    if (this.#waiting.length === 0) setImmediate(this.#flush);
    this.#waiting.push(flushable);
  }

  readonly #flush = (): void => {
    const ready = this.#waiting;
    this.#waiting = this.#spare;
    for (const flushable of ready) flushable.flush();
    ready.length = 0;
    this.#spare = ready;
  };
}
