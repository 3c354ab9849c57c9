/**
 * What one pool lacks, concluded from its books: dials for those in line or for the minimum, slots
 * its siblings should give up, the next moment to look again.
 * Owns: these conclusions. Leaves: the books to pool-core.ts, acting to pool.ts and pool-dials.ts,
 * room to tenant-cap.ts and dial-gate.ts. No I/O and no clock: time is an argument.
 */
import type { Backend } from '../upstream/upstream.ts';
import type { DialGate, DialPurpose } from './dial-gate.ts';
import { SIBLING_PATIENCE_MS } from './limits.ts';
import type { PoolCore } from './pool-core.ts';
import type { SlotCap } from './slot-cap.ts';
import type { CapNeeds } from './tenant-cap.ts';

export interface PoolNeedsOptions<B extends Backend, W> {
  readonly core: PoolCore<B, W>;
  readonly cap: SlotCap;
  /** Dials of this pool that run side by side. */
  readonly dialsMax: number;
  /** Over all pools of the proxy. */
  readonly gate: Pick<DialGate, 'isOpen'>;
}

export class PoolNeeds<B extends Backend, W> implements CapNeeds {
  readonly #core: PoolCore<B, W>;
  readonly #cap: SlotCap;
  readonly #dialsMax: number;
  readonly #gate: Pick<DialGate, 'isOpen'>;

  constructor({ core, cap, dialsMax, gate }: PoolNeedsOptions<B, W>) {
    this.#core = core;
    this.#cap = cap;
    this.#dialsMax = dialsMax;
    this.#gate = gate;
  }

  // --- as siblings see it (CapNeeds) ---

  get waiting(): number {
    return this.#core.line.size;
  }

  get idleSinceMs(): number | undefined {
    return this.#core.idle.first?.idleSinceMs;
  }

  get wanted(): number {
    return this.#core.leased.size + this.#core.line.size;
  }

  takeWantedPeak(): number {
    return this.#core.takeLeasedPeak() + this.#core.line.size;
  }

  get retiring(): number {
    return this.#core.drainReason === undefined ? 0 : this.#core.occupied;
  }

  /** Arrival of the waiter the next dial would be for. */
  dialForMs(nowMs: number): number | undefined {
    return this.#dialsWanted(nowMs) === 0 ? undefined : this.#uncoveredSinceMs;
  }

  /**
   * Waiters from before `sinceMs` for whom a sibling should give up a slot: a dial would serve
   * them, and they have waited as long as it costs, or this pool has nothing that could serve them.
   */
  claimsBefore(sinceMs: number, nowMs: number): number {
    let wanted = this.#dialsWanted(nowMs);
    if (wanted === 0) return 0;
    let covered = this.#core.soonIdle;
    let claims = 0;
    for (const ticket of this.#core.line) {
      if (wanted === 0 || ticket.sinceMs >= sinceMs) break;
      if (covered > 0) {
        covered -= 1;
        continue;
      }
      const isPatient = nowMs - ticket.sinceMs < SIBLING_PATIENCE_MS;
      if (isPatient && (claims > 0 || this.#core.open > 0)) break;
      claims += 1;
      wanted -= 1;
    }
    return claims;
  }

  // --- dials ---

  /** Whether a dial is to begin now for somebody in line: no other slot will serve it. */
  dialsForClients(nowMs: number): boolean {
    // First what costs least: most of the time a line means that the limit is reached.
    if (this.#cap.isFull) return false;
    const sinceMs = this.dialForMs(nowMs);
    return sinceMs !== undefined && this.#cap.roomFor(nowMs - sinceMs) > 0;
  }

  /** Whether a dial is to begin now so that the pool holds its minimum. */
  dialsForMinimum(nowMs: number): boolean {
    return this.#cap.room > 0 && this.#gate.isOpen && this.#dialsMissing(nowMs) > 0;
  }

  /** Whom a dial would be for if it were the pool's turn among all of the proxy. */
  turnWanted(nowMs: number): DialPurpose | undefined {
    if (this.#cap.isFull) return undefined;
    const sinceMs = this.#dialsLacking(nowMs) > 0 ? this.#uncoveredSinceMs : undefined;
    if (sinceMs !== undefined && this.#cap.roomFor(nowMs - sinceMs) > 0) return 'clients';
    return this.#cap.room > 0 && this.#dialsMissing(nowMs) > 0 ? 'minimum' : undefined;
  }

  /** Arrival of the longest waiting whom no idle, resetting or dialing slot covers. */
  get #uncoveredSinceMs(): number | undefined {
    let covered = this.#core.soonIdle;
    for (const ticket of this.#core.line) {
      if (covered === 0) return ticket.sinceMs;
      covered -= 1;
    }
    return undefined;
  }

  #dialsLacking(nowMs: number): number {
    return this.#dialsAllowed(this.#core.line.size - this.#core.soonIdle, nowMs);
  }

  #dialsWanted(nowMs: number): number {
    const allowed = this.#dialsLacking(nowMs);
    if (allowed === 0 || this.#gate.isOpen) return allowed;
    // The first of a pool is never held up by other tenants.
    return this.#core.dialing.size === 0 ? 1 : 0;
  }

  #dialsMissing(nowMs: number): number {
    return this.#dialsAllowed(this.#core.slotsKept(nowMs) - this.#core.open, nowMs);
  }

  /** While the server says no, one dial at a time asks again. */
  #dialsAllowed(needed: number, nowMs: number): number {
    const { drainReason, traffic, backoff, dialing } = this.#core;
    if (needed <= 0 || drainReason !== undefined || traffic === 'paused') return 0;
    if (backoff.isPaused(nowMs)) return 0;
    const parallel = backoff.error === undefined ? this.#dialsMax : 1;
    return Math.max(0, Math.min(needed, parallel - dialing.size));
  }

  // --- waits ---

  /**
   * Whether waiting is of no use: nothing works, nothing is being tried, and the server has just
   * said no.
   */
  isHopeless(nowMs: number): boolean {
    const { traffic, working, dialing, backoff } = this.#core;
    if (traffic === 'paused') return false;
    return working === 0 && dialing.size === 0 && backoff.isPaused(nowMs);
  }

  /** When the longest waiting must be refused; later arrivals never have an earlier deadline. */
  get deadlineMs(): number | undefined {
    const { line, traffic, turnedMs, settings } = this.#core;
    const { pauseWaitTimeoutMs, acquireTimeoutMs } = settings;
    const patienceMs = traffic === 'paused' ? pauseWaitTimeoutMs : acquireTimeoutMs;
    return line.head && Math.max(line.head.sinceMs, turnedMs) + patienceMs;
  }

  /** When the next in line must be told why it waits; Infinity: nobody. */
  get noticeMs(): number {
    const { line, settings } = this.#core;
    const { queryWaitNotifyMs } = settings;
    if (queryWaitNotifyMs === 0) return Infinity;
    return line.nextUntold === undefined ? Infinity : line.nextUntold.sinceMs + queryWaitNotifyMs;
  }

  /**
   * When something must be decided although nothing happens; Infinity: never. A pool that lacks
   * slots its siblings may have looks again as often as patience ends.
   */
  nextDueMs(nowMs: number): number {
    const { deadlineMs } = this;
    if (deadlineMs === undefined) return Infinity;
    const { backoff } = this.#core;
    let dueMs = Math.min(deadlineMs, this.noticeMs);
    if (backoff.isPaused(nowMs)) dueMs = Math.min(dueMs, backoff.pausedUntilMs);
    if (this.#cap.isSolitary && this.#cap.reserve.connections === 0) return dueMs;
    const sinceMs = this.dialForMs(nowMs);
    if (sinceMs === undefined) return dueMs;
    if (!this.#cap.isSolitary) dueMs = Math.min(dueMs, nowMs + SIBLING_PATIENCE_MS);
    return Math.min(dueMs, this.#cap.reserveOpensMs(sinceMs));
  }
}
