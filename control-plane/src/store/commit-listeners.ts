/**
 * Who wants to know that something was appended. A listener that fails harms neither the commit nor
 * the others.
 */
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';

export class CommitListeners {
  readonly #log: Logger;
  readonly #listeners = new Set<() => void>();

  constructor(log: Logger) {
    this.#log = log;
  }

  add(listener: () => void): () => void {
    // Wrapped, so that the same function can be added twice and each be taken away alone.
    const own = () => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  announce(): void {
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        this.#log.error({ error }, 'a listener of the event log failed');
      }
    }
  }
}
