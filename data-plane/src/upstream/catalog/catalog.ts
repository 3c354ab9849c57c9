/**
 * The facts about one database's catalog while they are fresh.
 * Owns: when to load them and when to forget them. No client waits for a load; without facts every
 * doubtful statement is dirty, which is safe. Leaves: how to load, and on which connection, to the
 * `load` it is given; meaning to catalog-facts.ts.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { CatalogFacts } from './catalog-facts.ts';

/** How long a change made past this proxy may go unseen. */
const TTL_MS = 30_000;
const BACK_OFF_MIN_MS = 1_000;
const BACK_OFF_MAX_MS = 60_000;

export interface CatalogParts {
  readonly load: () => Promise<CatalogFacts>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Facts older than this, counted from the start of their load, are forgotten. Default 30 s. */
  readonly ttlMs?: number;
}

interface Loaded {
  readonly facts: CatalogFacts;
  readonly askedAtMs: number;
}

export class Catalog {
  readonly #parts: CatalogParts;
  readonly #ttlMs: number;
  #loaded: Loaded | undefined;
  #loading: 'no' | 'yes' | 'outdated' = 'no';
  #failures = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  /** Transactions under way that define something. */
  #definers = 0;
  #generation = 0;

  constructor(parts: CatalogParts) {
    this.#parts = parts;
    this.#ttlMs = parts.ttlMs ?? TTL_MS;
  }

  /**
   * The same object as long as the facts stay; nothing before the first load, when they are too
   * old, and while somebody defines something: who waits for his locks runs what he has defined.
   */
  get current(): CatalogFacts | undefined {
    if (this.#definers > 0) return undefined;
    return this.#ageMs() < this.#ttlMs ? this.#loaded?.facts : undefined;
  }

  /** Whether there are none yet, and they are on their way. */
  get isComing(): boolean {
    return this.#loaded === undefined && this.#loading === 'yes' && this.#definers === 0;
  }

  /** Another number after each change: what was concluded from facts before it may not hold. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Says that the facts are in use. Loads them in the background when there are none or half
   * their time is over; one load at a time, and after failures only now and then. Never throws;
   * cheap enough for every statement.
   */
  refreshSoon(): void {
    if (this.#definers > 0 || this.#loading !== 'no') return;
    if (this.#ageMs() < this.#ttlMs / 2) return;
    if (this.#parts.clock.nowMs() >= this.#notBeforeMs) void this.#load();
  }

  /**
   * Forgets the facts, also those on their way: somebody changes the catalog. To be called when a
   * definition is sent and again when its transaction is over, since only then others see it.
   */
  invalidate(): void {
    this.#generation += 1;
    this.#loaded = undefined;
    if (this.#loading === 'yes') this.#loading = 'outdated';
  }

  /** As invalidate, and nothing is known until `defined`: others cannot see yet what is defined. */
  defining(): void {
    this.#definers += 1;
    this.invalidate();
  }

  /** The transaction of a `defining` is over. */
  defined(): void {
    this.#definers -= 1;
    this.invalidate();
  }

  #ageMs(): number {
    if (this.#loaded === undefined) return Number.POSITIVE_INFINITY;
    return this.#parts.clock.nowMs() - this.#loaded.askedAtMs;
  }

  async #load(): Promise<void> {
    const { clock, load } = this.#parts;
    const askedAtMs = clock.nowMs();
    this.#loading = 'yes';
    try {
      const facts = await load();
      this.#failures = 0;
      if (!this.#isOutdated()) this.#loaded = { facts, askedAtMs };
    } catch (error) {
      this.#failed(error);
    }
    this.#loading = 'no';
  }

  /** `invalidate` may have been called during the load. */
  #isOutdated(): boolean {
    return this.#loading === 'outdated';
  }

  #failed(error: unknown): void {
    const waitMs = Math.min(BACK_OFF_MAX_MS, BACK_OFF_MIN_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#loaded = undefined;
    this.#notBeforeMs = this.#parts.clock.nowMs() + waitMs;
    const reason = error instanceof Error ? error.message : String(error);
    this.#parts.log.warn({ reason, waitMs }, 'the catalog cannot be read; sessions are reset');
  }
}
