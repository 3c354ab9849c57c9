/**
 * The books of one pool as plain synchronous data: who is idle, leased, dialing, who waits, what
 * should happen next.
 * Owns: the slots, the line, the back-off and every decision about them. Leaves: doing it (dials,
 * timers, telling waiters) to pool.ts, the limit over several pools to tenant-cap.ts. No I/O and no
 * clock: time is an argument. A slot is in exactly one state, which is the chain it lives in.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantTraffic } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { CloseReason } from '../upstream/upstream.ts';
import { DialBackoff } from './dial-backoff.ts';
import { LIFETIME_SHARE_MIN, SIBLING_PATIENCE_MS } from './limits.ts';
import type { Random } from './random.ts';
import { Slot, slotChain } from './slot.ts';
import type { SlotChain } from './slot.ts';
import type { SlotCap } from './slot-cap.ts';
import type { CapNeeds } from './tenant-cap.ts';
import { WaitLine } from './wait-line.ts';

export interface PoolCoreOptions {
  readonly settings: PoolSettings;
  readonly traffic: TenantTraffic;
  readonly cap: SlotCap;
  readonly dialsMax: number;
  readonly random: Random;
}

export class PoolCore<B, W> implements CapNeeds {
  readonly dialing: SlotChain<B> = slotChain('dialing');
  /** Last given back comes last and is taken first; the first is idle the longest. */
  readonly idle: SlotChain<B> = slotChain('idle');
  readonly leased: SlotChain<B> = slotChain('leased');
  readonly resetting: SlotChain<B> = slotChain('resetting');
  readonly kept: SlotChain<B> = slotChain('kept');
  readonly closing: SlotChain<B> = slotChain('closing');
  readonly line = new WaitLine<W>();
  readonly backoff: DialBackoff;
  settings: PoolSettings;
  /** Set once the pool drains: no slot is idle or newly dialed from then on. */
  drainReason: CloseReason | undefined;
  #traffic: TenantTraffic;
  /** When it last changed: waits count from here, unless they began later. */
  #turnedMs = -Infinity;

  readonly #cap: SlotCap;
  readonly #dialsMax: number;
  readonly #random: Random;
  readonly #slots = new Map<B, Slot<B>>();

  constructor(options: PoolCoreOptions) {
    this.settings = options.settings;
    this.#traffic = options.traffic;
    this.backoff = new DialBackoff(options.random);
    this.#cap = options.cap;
    this.#dialsMax = options.dialsMax;
    this.#random = options.random;
  }

  /**
   * `paused`: no slot is idle or newly dialed, who is in line stays there. `draining`: who is in
   * line is served, no slot is kept beyond that.
   */
  get traffic(): TenantTraffic {
    return this.#traffic;
  }

  get turnedMs(): number {
    return this.#turnedMs;
  }

  turn(traffic: TenantTraffic, nowMs: number): void {
    this.#traffic = traffic;
    this.#turnedMs = nowMs;
  }

  /** Slots that occupy the tenant's limit. */
  get occupied(): number {
    return this.#open + this.kept.size + this.closing.size;
  }

  /** Slots that can serve a client now or soon; a dial has yet to prove it can. */
  get working(): number {
    return this.idle.size + this.leased.size + this.resetting.size;
  }

  get waiting(): number {
    return this.line.size;
  }

  get idleSinceMs(): number | undefined {
    return this.idle.first?.idleSinceMs;
  }

  get #open(): number {
    return this.working + this.dialing.size;
  }

  /** The slot of a backend that has not closed. */
  slotOf(backend: B): Slot<B> | undefined {
    return this.#slots.get(backend);
  }

  /**
   * Leases the slot given back last: its caches are warm, and surplus ones stay idle until they are
   * closed.
   */
  takeIdle(): B | undefined {
    const slot = this.idle.last;
    if (slot === undefined) return undefined;
    this.#move(slot, this.leased);
    return slot.backend;
  }

  toIdle(slot: Slot<B>, nowMs: number): void {
    slot.idleSinceMs = nowMs;
    this.#move(slot, this.idle);
  }

  toResetting(slot: Slot<B>): void {
    this.#move(slot, this.resetting);
  }

  /** Kept slots serve no client: neither the minimum nor a waiter counts on them. */
  toKept(slot: Slot<B>): void {
    this.#move(slot, this.kept);
    this.#cap.keepingBegins();
  }

  toClosing(slot: Slot<B>): void {
    if (slot.state === 'kept') this.#cap.keepingEnds();
    this.#move(slot, this.closing);
    this.#cap.closingBegins();
  }

  /** Occupies a slot under the tenant's limit; the caller dials. */
  beginDial(): Slot<B> {
    this.#cap.occupy();
    const slot = new Slot<B>(this.backoff.round);
    this.dialing.push(slot);
    return slot;
  }

  /** The slot has its backend and is still `dialing`: the caller makes it idle or closes it. */
  dialSucceeded(slot: Slot<B>, backend: B, nowMs: number): { readonly recovered: boolean } {
    assert(slot.state === 'dialing', 'a dial ends once');
    slot.backend = backend;
    slot.bornMs = nowMs;
    slot.lifetimeShare = LIFETIME_SHARE_MIN + (1 - LIFETIME_SHARE_MIN) * this.#random();
    this.#slots.set(backend, slot);
    return { recovered: this.backoff.succeeded() };
  }

  /**
   * The slot is free. A failure of a draining pool is its own doing and says nothing about the
   * server.
   */
  dialFailed(slot: Slot<B>, error: AppError, nowMs: number): { readonly pauseBegan: boolean } {
    assert(slot.state === 'dialing', 'a dial ends once');
    this.free(slot);
    if (this.drainReason !== undefined) return { pauseBegan: false };
    return { pauseBegan: this.backoff.failed(slot.round, error, nowMs) };
  }

  /** The server has closed, or was never reached. */
  free(slot: Slot<B>): void {
    if (slot.state === 'kept') this.#cap.keepingEnds();
    this.#cap.vacate(slot.state === 'closing' ? 'closing' : 'other');
    slot.chain?.remove(slot);
    if (slot.backend !== undefined) this.#slots.delete(slot.backend);
  }

  /** Why nobody may keep a slot for another purpose than a client's. */
  get whyNotKeep(): CloseReason | undefined {
    return this.drainReason ?? (this.#traffic === 'paused' ? 'paused' : undefined);
  }

  /** Why a slot that is given back must not become idle. */
  whyClose(slot: Slot<B>, nowMs: number): CloseReason | undefined {
    if (this.whyNotKeep !== undefined) return this.whyNotKeep;
    if (this.#traffic === 'draining' && this.line.size === 0) return 'pool_drained';
    if (this.#cap.isExceeded) return 'over_limit';
    const { maxLifetimeMs } = this.settings;
    if (maxLifetimeMs > 0 && nowMs - slot.bornMs >= maxLifetimeMs * slot.lifetimeShare) {
      return 'max_lifetime';
    }
    return undefined;
  }

  /** Why a slot that is idle must not stay so. */
  whySweep(slot: Slot<B>, nowMs: number): CloseReason | undefined {
    const reason = this.whyClose(slot, nowMs);
    if (reason !== undefined) return reason;
    const { idleTimeoutMs, minConnections } = this.settings;
    const isLongIdle = idleTimeoutMs > 0 && nowMs - slot.idleSinceMs >= idleTimeoutMs;
    return isLongIdle && this.#open > minConnections ? 'idle_timeout' : undefined;
  }

  /**
   * Dials to begin for waiters whom no idle, resetting or dialing slot covers, as far as the limit
   * has room.
   */
  dialsWanted(nowMs: number): number {
    return this.#dialsAllowed(this.line.size - this.#covered, nowMs);
  }

  /** Dials to begin so that the pool holds its minimum. */
  dialsMissing(nowMs: number): number {
    if (this.#traffic !== 'active') return 0;
    return this.#dialsAllowed(this.settings.minConnections - this.#open, nowMs);
  }

  /** Arrival of the waiter the next dial would be for. */
  dialForMs(nowMs: number): number | undefined {
    if (this.dialsWanted(nowMs) === 0) return undefined;
    let covered = this.#covered;
    for (const ticket of this.line) {
      if (covered === 0) return ticket.sinceMs;
      covered -= 1;
    }
    return undefined;
  }

  /**
   * Waiters from before `sinceMs` for whom a sibling should give up a slot: a dial would serve
   * them, and they have waited as long as it costs, or this pool has nothing that could serve them.
   */
  claimsBefore(sinceMs: number, nowMs: number): number {
    let wanted = this.dialsWanted(nowMs);
    if (wanted === 0) return 0;
    let covered = this.#covered;
    let claims = 0;
    for (const ticket of this.line) {
      if (wanted === 0 || ticket.sinceMs >= sinceMs) break;
      if (covered > 0) {
        covered -= 1;
        continue;
      }
      const isPatient = nowMs - ticket.sinceMs < SIBLING_PATIENCE_MS;
      if (isPatient && (claims > 0 || this.#open > 0)) break;
      claims += 1;
      wanted -= 1;
    }
    return claims;
  }

  /**
   * Whether waiting is of no use: nothing works, nothing is being tried, and the server has just
   * said no.
   */
  isHopeless(nowMs: number): boolean {
    if (this.#traffic === 'paused') return false;
    return this.working === 0 && this.dialing.size === 0 && this.backoff.isPaused(nowMs);
  }

  /** When the longest waiting must be refused; later arrivals never have an earlier deadline. */
  get deadlineMs(): number | undefined {
    const { head } = this.line;
    return head && Math.max(head.sinceMs, this.#turnedMs) + this.#patienceMs;
  }

  /** How long a client waits as things are. */
  get #patienceMs(): number {
    const { pauseWaitTimeoutMs, acquireTimeoutMs } = this.settings;
    return this.#traffic === 'paused' ? pauseWaitTimeoutMs : acquireTimeoutMs;
  }

  /**
   * When something must be decided although nothing happens; Infinity: never. A pool that lacks
   * slots its siblings may have looks again as often as patience ends.
   */
  nextDueMs(nowMs: number): number {
    let dueMs = this.deadlineMs ?? Infinity;
    if (dueMs === Infinity) return dueMs;
    if (this.backoff.isPaused(nowMs)) dueMs = Math.min(dueMs, this.backoff.pausedUntilMs);
    if (!this.#cap.isSolitary && this.dialsWanted(nowMs) > 0) {
      dueMs = Math.min(dueMs, nowMs + SIBLING_PATIENCE_MS);
    }
    return dueMs;
  }

  get #covered(): number {
    return this.idle.size + this.resetting.size + this.dialing.size;
  }

  /** While the server says no, one dial at a time asks again. */
  #dialsAllowed(needed: number, nowMs: number): number {
    if (needed <= 0 || this.drainReason !== undefined || this.#traffic === 'paused') return 0;
    if (this.backoff.isPaused(nowMs)) return 0;
    const parallel = this.backoff.error === undefined ? this.#dialsMax : 1;
    return Math.max(0, Math.min(needed, parallel - this.dialing.size));
  }

  #move(slot: Slot<B>, to: SlotChain<B>): void {
    slot.chain?.remove(slot);
    to.push(slot);
  }
}
