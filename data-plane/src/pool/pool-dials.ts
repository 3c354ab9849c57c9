/**
 * The dials of one pool: begun for clients in line and for the minimum, as far as its tenant's
 * limit and the proxy's gate have room.
 * Owns: beginning them, what their end means for the books. Leaves: whether one is wanted to
 * pool-needs.ts, running it to dialer.ts, what follows for clients to pool.ts.
 */
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Backend, Upstream } from '../upstream/upstream.ts';
import type { DialGate, GateMember } from './dial-gate.ts';
import { Dialer } from './dialer.ts';
import type { DialFailure } from './dialer.ts';
import type { PoolCore } from './pool-core.ts';
import { dialError } from './pool-errors.ts';
import type { PoolNeeds } from './pool-needs.ts';
import type { PoolCounters } from './pool-stats.ts';
import type { Slot } from './slot.ts';
import type { SlotCap } from './slot-cap.ts';

export interface PoolDialsOptions<B extends Backend> {
  readonly tenant: string;
  readonly core: PoolCore<B, unknown>;
  readonly needs: PoolNeeds<B, unknown>;
  readonly cap: SlotCap;
  readonly gate: DialGate;
  readonly upstream: Upstream<B>;
  readonly counters: PoolCounters;
  readonly clock: Clock;
  readonly log: Logger;
  /** A slot has its backend, and may serve. */
  readonly opened: (slot: Slot<B>, nowMs: number) => void;
  /** A dial has failed, and its slot is free. */
  readonly failed: () => void;
  /** The server has closed a connection that had been opened. */
  readonly closed: (slot: Slot<B>) => void;
}

export class PoolDials<B extends Backend> implements GateMember {
  readonly #options: PoolDialsOptions<B>;
  readonly #dialer: Dialer<B>;

  constructor(options: PoolDialsOptions<B>) {
    this.#options = options;
    this.#dialer = new Dialer(options.upstream, options.gate, {
      succeeded: (slot, backend) => this.#succeeded(slot, backend),
      failed: (slot, cause) => this.#failed(slot, cause),
      mayGoOn: () => this.#mayGoOn(),
      closed: options.closed,
    });
  }

  /** Begins what clients in line need, or asks for a turn. */
  forClients(nowMs: number): void {
    const { needs } = this.#options;
    while (needs.dialsForClients(nowMs)) this.begin();
    this.#askForTurn(nowMs);
  }

  /** Begins what the minimum lacks, or asks for a turn. */
  forMinimum(nowMs: number): void {
    const { needs } = this.#options;
    while (needs.dialsForMinimum(nowMs)) this.begin();
    this.#askForTurn(nowMs);
  }

  /** One dial; the caller has seen that there is room for it, if it is still there. */
  begin(): void {
    const { cap } = this.#options;
    cap.heed();
    if (cap.isFull) return;
    this.#options.counters.dials += 1;
    this.#dialer.begin(this.#options.core.beginDial());
  }

  turn(): void {
    const { needs, clock } = this.#options;
    const nowMs = clock.nowMs();
    if (needs.turnWanted(nowMs) === undefined) return;
    this.begin();
    const more = needs.turnWanted(nowMs);
    if (more !== undefined) this.#options.gate.queue(this, more);
  }

  /** The pool ends: running dials end soon, most of them as failed. */
  end(): void {
    this.#options.gate.forget(this);
    this.#dialer.abortAll();
  }

  #askForTurn(nowMs: number): void {
    const { needs, gate } = this.#options;
    const purpose = gate.isOpen ? undefined : needs.turnWanted(nowMs);
    if (purpose !== undefined) gate.queue(this, purpose);
  }

  /** A process that was stopped meanwhile learns here what it may not have any more. */
  #mayGoOn(): boolean {
    const { cap } = this.#options;
    cap.heed();
    return cap.occupied <= cap.limit;
  }

  #succeeded(slot: Slot<B>, backend: B): void {
    this.#options.cap.heed();
    const { core, clock, log, opened } = this.#options;
    const nowMs = clock.nowMs();
    const { recovered } = core.dialSucceeded(slot, backend, nowMs);
    if (recovered) log.info({}, 'the database server accepts connections again');
    opened(slot, nowMs);
  }

  #failed(slot: Slot<B>, cause: DialFailure): void {
    const { tenant, core, clock, log, counters, failed } = this.#options;
    if (cause === 'given_up') {
      core.dialGivenUp(slot);
      return failed();
    }
    const nowMs = clock.nowMs();
    const error = dialError(tenant, cause, log);
    const { pauseBegan } = core.dialFailed(slot, error, nowMs);
    if (core.drainReason === undefined) counters.dialFailures += 1;
    if (pauseBegan) {
      const pauseMs = Math.round(core.backoff.pausedUntilMs - nowMs);
      const fields = { code: error.code, reason: error.message, pauseMs };
      log.warn(fields, 'the database server does not accept connections');
    }
    failed();
  }
}
