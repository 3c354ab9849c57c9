/**
 * The care for server connections between clients: cleaning dirty ones, asking idle ones whether
 * their server is still there.
 * Owns: that each ends as a slot that rests or one that must close. Leaves: how it is done, and
 * within which time, to the upstream; what follows to pool.ts.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Backend, CloseReason, Upstream } from '../upstream/upstream.ts';
import type { PoolCore } from './pool-core.ts';
import type { PoolCounters } from './pool-stats.ts';
import type { Slot, SlotState } from './slot.ts';

export interface UpkeepOptions<B extends Backend> {
  readonly core: PoolCore<B, unknown>;
  readonly upstream: Upstream<B>;
  readonly counters: PoolCounters;
  readonly clock: Clock;
  readonly log: Logger;
  /** It may serve the next client. */
  readonly rested: (slot: Slot<B>, nowMs: number) => void;
  readonly broken: (slot: Slot<B>, reason: CloseReason, nowMs: number) => void;
}

export class Upkeep<B extends Backend> {
  readonly #options: UpkeepOptions<B>;

  constructor(options: UpkeepOptions<B>) {
    this.#options = options;
  }

  clean(slot: Slot<B>, backend: B): void {
    const { core, counters, upstream } = this.#options;
    core.toResetting(slot);
    counters.resets += 1;
    void this.#finish(slot, upstream.reset(backend), CLEANING);
  }

  check(slot: Slot<B>, backend: B): void {
    const { core, counters, upstream } = this.#options;
    core.toChecking(slot);
    counters.checks += 1;
    void this.#finish(slot, upstream.check(backend), CHECKING);
  }

  /** The pool may have closed the slot meanwhile, or the server. */
  async #finish(slot: Slot<B>, work: Promise<void>, kind: Care): Promise<void> {
    const { clock, log, rested, broken } = this.#options;
    const failure = await failureOf(work);
    if (slot.state !== kind.state) return;
    if (failure === undefined) return rested(slot, clock.nowMs());
    log.warn(failure, kind.failed);
    broken(slot, kind.reason, clock.nowMs());
  }
}

interface Care {
  readonly state: SlotState;
  readonly reason: CloseReason;
  readonly failed: string;
}

const CLEANING: Care = Object.freeze({
  state: 'resetting',
  reason: 'reset_failed',
  failed: 'a server connection could not be reset',
});
const CHECKING: Care = Object.freeze({
  state: 'checking',
  reason: 'check_failed',
  failed: 'an idle server connection does not answer',
});

async function failureOf(work: Promise<void>): Promise<{ readonly error: unknown } | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return { error };
  }
}
