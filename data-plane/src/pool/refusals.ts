/**
 * The clients a pool does not serve: decides who leaves the line unserved and why, and tells them.
 * Each is told once, in a microtask of its own, never from within the call that caused it. A client
 * that fails while it listens is logged and touches nobody else.
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Backend } from '../upstream/upstream.ts';
import {
  acquireTimeout,
  notAskedAgain,
  pausedTooLong,
  queueFull,
  shuttingDown,
} from './pool-errors.ts';
import type { PoolCore } from './pool-core.ts';
import type { PoolNeeds } from './pool-needs.ts';
import type { PoolCounters } from './pool-stats.ts';
import type { SlotCap } from './slot-cap.ts';
import type { Verdict } from './wait-line.ts';
import type { Waiter } from './waiter.ts';

export interface RefusalsOptions<B extends Backend> {
  readonly tenant: string;
  readonly core: PoolCore<B, Waiter<B>>;
  readonly needs: PoolNeeds<B, Waiter<B>>;
  readonly cap: SlotCap;
  readonly waitersMax: number;
  /** Why no dial can succeed now, known without trying. */
  readonly hindrance: () => AppError | undefined;
  readonly counters: PoolCounters;
  readonly log: Logger;
}

export class Refusals<B extends Backend> {
  readonly #options: RefusalsOptions<B>;
  #telling: 'no' | 'scheduled' = 'no';

  constructor(options: RefusalsOptions<B>) {
    this.#options = options;
  }

  /** Why no dial can succeed now, known without trying. */
  get hindrance(): AppError | undefined {
    return this.#options.hindrance();
  }

  /** Sends a client away that must not get in line; @returns whether it did. */
  turnAway(waiter: Waiter<B>, sinceMs: number, nowMs: number): boolean {
    const verdict = this.#whyNotJoin(nowMs);
    if (verdict === undefined) return false;
    this.#options.core.line.turnAway(waiter, sinceMs, verdict);
    this.#tellSoon();
    return true;
  }

  /** Refuses those who have waited as long as they may. */
  refuseExpired(nowMs: number): void {
    const { tenant, core, needs, cap, counters } = this.#options;
    let refusal: AppError | undefined;
    for (let due = needs.deadlineMs; due !== undefined && due <= nowMs; due = needs.deadlineMs) {
      refusal ??=
        core.traffic === 'paused' ? pausedTooLong(tenant, core) : acquireTimeout(tenant, core, cap);
      core.line.dismissHead(refusal);
      counters.acquireTimeouts += 1;
    }
    if (refusal !== undefined) this.#tellSoon();
  }

  /** Refuses everybody with the dial's error when nothing they could wait for is under way. */
  refuseHopeless(nowMs: number): void {
    const { core, needs } = this.#options;
    const { error } = core.backoff;
    if (error !== undefined && needs.isHopeless(nowMs)) this.#dismissAll(error);
  }

  /** The pool drains: everybody asks elsewhere, or is refused when there is no elsewhere. */
  emptyLine(): void {
    const verdict = this.#whyDrained();
    if (verdict !== undefined) this.#dismissAll(verdict);
  }

  #whyNotJoin(nowMs: number): Verdict | undefined {
    const { tenant, core, needs, counters, waitersMax } = this.#options;
    const verdict = this.#whyDrained() ?? this.hindrance;
    if (verdict !== undefined) return verdict;
    const { error, pausedUntilMs } = core.backoff;
    if (error !== undefined && needs.isHopeless(nowMs)) {
      return notAskedAgain(error, pausedUntilMs - nowMs, core.settings.serverLoginRetryMs);
    }
    if (core.line.size < waitersMax) return undefined;
    counters.queueFull += 1;
    return queueFull(tenant, core.line.size, waitersMax);
  }

  #whyDrained(): Verdict | undefined {
    const { drainReason } = this.#options.core;
    if (drainReason === undefined) return undefined;
    return drainReason === 'shutdown' ? shuttingDown() : 'moved';
  }

  #dismissAll(verdict: Verdict): void {
    const { line } = this.#options.core;
    if (line.size === 0) return;
    while (line.size > 0) line.dismissHead(verdict);
    this.#tellSoon();
  }

  #tellSoon(): void {
    if (this.#telling === 'scheduled') return;
    this.#telling = 'scheduled';
    queueMicrotask(() => {
      this.#telling = 'no';
      this.#tellAll();
    });
  }

  #tellAll(): void {
    const { core, log } = this.#options;
    for (let told = core.line.takeDecided(); told !== undefined; told = core.line.takeDecided()) {
      const { ticket, verdict } = told;
      try {
        if (verdict === 'moved') ticket.waiter.moved(Math.max(ticket.sinceMs, core.turnedMs));
        else ticket.waiter.refused(verdict);
      } catch (error) {
        log.error({ error }, 'a client failed while it left the line');
      }
    }
  }
}
