/**
 * The books of one pool as plain synchronous data: who is idle, leased, dialing, who waits, which
 * slot must close.
 * Owns: the slots, the line, the back-off and how they change. Leaves: what the pool lacks to
 * pool-needs.ts, doing it (dials, timers, telling waiters) to pool.ts, the limit over several pools
 * to tenant-cap.ts. No I/O and no clock: time is an argument. A slot is in exactly one state, which
 * is the chain it lives in.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantTraffic } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { Backend, CloseReason } from '../upstream/upstream.ts';
import { DialBackoff } from './dial-backoff.ts';
import { LIFETIME_SHARE_MIN, WARM_UP_MS } from './limits.ts';
import type { Random } from './random.ts';
import { Slot, slotChain } from './slot.ts';
import type { SlotChain } from './slot.ts';
import type { SlotCap } from './slot-cap.ts';
import { WaitLine } from './wait-line.ts';

export interface PoolCoreOptions {
  readonly settings: PoolSettings;
  readonly traffic: TenantTraffic;
  readonly cap: SlotCap;
  readonly random: Random;
}

export class PoolCore<B extends Backend, W> {
  readonly dialing: SlotChain<B> = slotChain('dialing');
  /** Last given back comes last and is taken first; the first is idle the longest. */
  readonly idle: SlotChain<B> = slotChain('idle');
  readonly checking: SlotChain<B> = slotChain('checking');
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
  /** The most that were leased since somebody took it. */
  #leasedPeak = 0;
  /** Slots to open above the minimum, and until when. */
  #warmUp = { slots: 0, untilMs: -Infinity };

  readonly #cap: SlotCap;
  readonly #random: Random;
  readonly #slots = new Map<B, Slot<B>>();

  constructor(options: PoolCoreOptions) {
    this.settings = options.settings;
    this.#traffic = options.traffic;
    this.backoff = new DialBackoff(options.random);
    this.#cap = options.cap;
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

  /** For a while `slots` are to be open: as many as the pool before this one needed. */
  warmUp(slots: number, nowMs: number): void {
    this.#warmUp = { slots, untilMs: nowMs + WARM_UP_MS };
  }

  /** Slots that are to be open whether or not somebody waits. */
  slotsKept(nowMs: number): number {
    if (this.#traffic !== 'active') return 0;
    const { slots, untilMs } = this.#warmUp;
    return Math.max(this.settings.minConnections, nowMs < untilMs ? slots : 0);
  }

  /** Slots that occupy the tenant's limit. */
  get occupied(): number {
    return this.open + this.kept.size + this.closing.size;
  }

  /** Slots that can serve a client now or soon; a dial has yet to prove it can. */
  get working(): number {
    return this.idle.size + this.checking.size + this.leased.size + this.resetting.size;
  }

  /** Slots that serve clients, or will. */
  get open(): number {
    return this.working + this.dialing.size;
  }

  /** Slots that somebody in line will have without another dial. */
  get soonIdle(): number {
    return this.idle.size + this.resetting.size + this.dialing.size;
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
    if (this.leased.size > this.#leasedPeak) this.#leasedPeak = this.leased.size;
    return slot.backend;
  }

  takeLeasedPeak(): number {
    const peak = Math.max(this.#leasedPeak, this.leased.size);
    this.#leasedPeak = this.leased.size;
    return peak;
  }

  /** A slot that was only checked is idle for as long as before. */
  toIdle(slot: Slot<B>, nowMs: number): void {
    slot.provenMs = nowMs;
    if (slot.state !== 'checking') slot.idleSinceMs = nowMs;
    slot.chain?.remove(slot);
    let before = this.idle.last;
    while (before !== undefined && before.idleSinceMs > slot.idleSinceMs) before = before.previous;
    this.idle.insertAfter(before, slot);
  }

  toChecking(slot: Slot<B>): void {
    this.#move(slot, this.checking);
  }

  toResetting(slot: Slot<B>): void {
    this.#move(slot, this.resetting);
  }

  /** Kept slots serve no client: neither the minimum nor a waiter counts on them. */
  toKept(slot: Slot<B>): void {
    this.#move(slot, this.kept);
    this.#cap.keepingBegins();
  }

  /** A kept slot is a client's again, or about to be. */
  toLeased(slot: Slot<B>): void {
    if (slot.state === 'kept') this.#cap.keepingEnds();
    this.#move(slot, this.leased);
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
    const { serverLoginRetryMs } = this.settings;
    return { pauseBegan: this.backoff.failed(slot.round, error, nowMs, serverLoginRetryMs) };
  }

  /** The slot is free; nothing was learned of the server. */
  dialGivenUp(slot: Slot<B>): void {
    assert(slot.state === 'dialing', 'a dial ends once');
    this.free(slot);
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
    const { maxLifetimeMs, maxQueries } = this.settings;
    if (maxLifetimeMs > 0 && nowMs - slot.bornMs >= maxLifetimeMs * slot.lifetimeShare) {
      return 'max_lifetime';
    }
    const answered = slot.backend?.answered ?? 0;
    return maxQueries > 0 && answered >= maxQueries * slot.lifetimeShare
      ? 'max_queries'
      : undefined;
  }

  /** Why a slot that is idle must not stay so. */
  whySweep(slot: Slot<B>, nowMs: number): CloseReason | undefined {
    const reason = this.whyClose(slot, nowMs);
    if (reason !== undefined) return reason;
    const { idleTimeoutMs, minConnections, reserveTimeoutMs } = this.settings;
    const idleMs = nowMs - slot.idleSinceMs;
    if (this.#cap.isInReserve && idleMs >= reserveTimeoutMs) return 'reserve_unused';
    const isLongIdle = idleTimeoutMs > 0 && idleMs >= idleTimeoutMs;
    return isLongIdle && this.open > minConnections ? 'idle_timeout' : undefined;
  }

  /**
   * Idle slots whose server is to be asked whether it is there: nothing was heard of it for
   * `serverCheckDelayMs`. Half of those that rest stay at hand meanwhile, or all but one.
   */
  checksDue(nowMs: number): readonly Slot<B>[] {
    const { serverCheckDelayMs } = this.settings;
    const most = Math.ceil((this.idle.size + this.checking.size) / 2) - this.checking.size;
    if (serverCheckDelayMs === 0 || most <= 0) return [];
    const due: Slot<B>[] = [];
    for (const slot of this.idle) {
      if (due.length === most) break;
      if (nowMs - slot.provenMs >= serverCheckDelayMs) due.push(slot);
    }
    return due;
  }

  #move(slot: Slot<B>, to: SlotChain<B>): void {
    slot.chain?.remove(slot);
    to.push(slot);
  }
}
