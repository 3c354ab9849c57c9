/**
 * When each API key was used last: noted in memory with every request, written at most once a
 * minute and at the end.
 */
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { ApiKeyUses } from '../store/api-keys.ts';

const WRITE_AFTER_MS = 60_000;

export interface KeyUsesOptions {
  readonly store: ApiKeyUses;
  readonly clock: Clock;
  readonly log: Logger;
}

export class KeyUses {
  readonly #options: KeyUsesOptions;
  /** One entry for each key that was ever used. */
  readonly #last: Map<string, string>;
  #unwritten = new Map<string, string>();
  #timer: Timer | undefined;

  constructor(options: KeyUsesOptions) {
    this.#options = options;
    this.#last = new Map(options.store.lastUses());
  }

  note(id: string, at: string): void {
    this.#last.set(id, at);
    this.#unwritten.set(id, at);
    this.#timer ??= this.#options.clock.after(WRITE_AFTER_MS, () => this.write());
  }

  /** RFC 3339, or nothing when it never was. */
  lastOf(id: string): string | undefined {
    return this.#last.get(id);
  }

  /** Writes what is new. A failure is logged, and the next use tries again. */
  write(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const uses = this.#unwritten;
    if (uses.size === 0) return;
    try {
      this.#options.store.saveUses(uses);
      this.#unwritten = new Map();
    } catch (error) {
      this.#options.log.warn({ error }, 'when API keys were used could not be written');
    }
  }
}
