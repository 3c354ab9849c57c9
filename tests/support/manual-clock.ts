/**
 * A clock that stands still until a test turns it.
 */
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';

interface Pending {
  readonly dueMs: number;
  readonly fire: () => void;
}

export class ManualClock implements Clock {
  readonly #epochMs: number;
  readonly #pending = new Set<Pending>();
  #nowMs = 0;
  #stalledMs = 0;

  /** `epoch`: the wall time at which `nowMs` is 0. */
  constructor(epoch = '2026-01-01T00:00:00.000Z') {
    this.#epochMs = Date.parse(epoch);
  }

  nowMs(): number {
    return this.#nowMs;
  }

  idleMs(): number {
    return this.#nowMs - this.#stalledMs;
  }

  timestamp(): string {
    return new Date(this.#epochMs + this.#nowMs).toISOString();
  }

  after(delayMs: number, fire: () => void): Timer {
    const pending: Pending = { dueMs: this.#nowMs + Math.max(0, delayMs), fire };
    this.#pending.add(pending);
    return { cancel: () => void this.#pending.delete(pending) };
  }

  /** Timers that have not fired. */
  get pendingTimers(): number {
    return this.#pending.size;
  }

  /**
   * Lets `ms` pass. Each timer that falls due fires at its time, earliest first, and promises it
   * settles are followed before the next one fires.
   */
  async pass(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await followPromises();
    for (let next = this.#nextDue(untilMs); next !== undefined; next = this.#nextDue(untilMs)) {
      this.#pending.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.fire();
      await followPromises();
    }
    this.#nowMs = untilMs;
  }

  /** Lets `ms` pass at once, as when the process stands still: what fell due fires late. */
  stall(ms: number): void {
    this.#stalledMs += ms;
    this.#nowMs += ms;
  }

  #nextDue(untilMs: number): Pending | undefined {
    let next: Pending | undefined;
    for (const pending of this.#pending) {
      if (pending.dueMs > untilMs) continue;
      if (next === undefined || pending.dueMs < next.dueMs) next = pending;
    }
    return next;
  }
}

/** Resolves once every promise that is settled by now, and what follows from it, has been heard. */
export function followPromises(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
