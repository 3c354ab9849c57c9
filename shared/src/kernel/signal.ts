/** A latch one waiter waits for: a raise before the wait is not missed, several raises are one. */
export class Signal {
  #state: 'down' | 'raised' = 'down';
  #wake: (() => void) | undefined;

  raise(): void {
    this.#state = 'raised';
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Resolves when raised since the last time it resolved. */
  async raised(): Promise<void> {
    if (this.#state === 'down') await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#state = 'down';
  }
}
