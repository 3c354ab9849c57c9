/**
 * The server connections one tenant may occupy on this proxy, over all its pools: one per
 * database, and old ones that still drain. A slot is occupied from before its dial until the server
 * has closed (invariant 1). A part of the limit can be a reserve, which is opened only for clients
 * that have waited long.
 * Owns: the count, and which pool gets room or gives up an idle slot. Leaves: the slots to
 * pool-core.ts.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { CloseReason } from '../upstream/upstream.ts';
import type { DividedLimit, LimitPart, Shortage } from './limit-part.ts';
import { SIBLING_PATIENCE_MS } from './limits.ts';
import type { SlotCap } from './slot-cap.ts';

/**
 * What a pool wants, as its siblings see it. Times are arrivals, so that the tenant's longest wait
 * comes first.
 */
export interface CapNeeds {
  /** Slots it occupies, if it ends and its slots with it; else 0. */
  readonly retiring: number;
  /** Clients in line. */
  readonly waiting: number;
  /** Since when its longest idle slot is idle; undefined when none is. */
  readonly idleSinceMs: number | undefined;
  /** Slots in use, and clients in line. */
  readonly wanted: number;
  /** The most of these since it was last taken, or now. */
  takeWantedPeak(): number;
  /** How many of its waiters came before `sinceMs` and need a slot that a sibling gives up. */
  claimsBefore(sinceMs: number, nowMs: number): number;
  /** Arrival of the waiter its next dial would be for; undefined when it wants no dial now. */
  dialForMs(nowMs: number): number | undefined;
}

export interface CapMember {
  readonly needs: CapNeeds;
  dialOne(): void;
  closeLongestIdle(reason: CloseReason): void;
  /** Tells who keeps slots that clients could use them. */
  wantKept(): void;
  /** The limit has changed: what follows from it is done, with room or without. */
  limitChanged(): void;
}

/** The last slots of a limit, kept for clients that have waited `timeoutMs`. */
export interface Reserve {
  readonly connections: number;
  readonly timeoutMs: number;
}

export function reserveOf(settings: PoolSettings): Reserve {
  return { connections: settings.reserveConnections, timeoutMs: settings.reserveTimeoutMs };
}

const NO_RESERVE: Reserve = Object.freeze({ connections: 0, timeoutMs: 0 });

export class TenantCap implements SlotCap, DividedLimit {
  readonly settingName = 'max_connections';
  readonly #part: LimitPart | undefined;
  /** What is set; `#limit` is what of it this proxy may have. */
  #most: number;
  #limit: number;
  #reserveSet: Reserve;
  #reserve: Reserve;
  #occupied = 0;
  #closing = 0;
  #kept = 0;
  #members: readonly CapMember[] = [];
  #dealing = false;

  /** @param part what of the limit is this proxy's; undefined: all of it */
  constructor(most: number, reserve: Reserve = NO_RESERVE, part?: LimitPart) {
    this.#part = part;
    this.#most = most;
    this.#limit = Math.min(most, part?.slots ?? most);
    this.#reserveSet = reserve;
    this.#reserve = this.#reserveWithin();
    part?.bind(this);
  }

  get limit(): number {
    return this.#limit;
  }

  get most(): number {
    return this.#most;
  }

  get shortage(): Shortage | undefined {
    return this.#limit < this.#most ? this.#part?.shortage : undefined;
  }

  get occupied(): number {
    return this.#occupied;
  }

  get reserve(): Reserve {
    return this.#reserve;
  }

  /** Whether nobody may occupy a slot, however long it has waited. */
  get isFull(): boolean {
    return this.#occupied >= this.#limit;
  }

  get room(): number {
    return Math.max(0, this.#limit - this.#reserve.connections - this.#occupied);
  }

  roomFor(waitedMs: number): number {
    return Math.max(0, this.#limitFor(waitedMs) - this.#occupied);
  }

  reserveOpensMs(sinceMs: number): number {
    return this.room > 0 || this.isFull ? Infinity : sinceMs + this.#reserve.timeoutMs;
  }

  get isInReserve(): boolean {
    return this.#occupied - this.#closing > this.#limit - this.#reserve.connections;
  }

  get retiring(): number {
    let retiring = 0;
    for (const { needs } of this.#members) retiring += needs.retiring;
    return retiring;
  }

  /** Whether slots must close although nobody closes them: the limit was lowered. */
  get isExceeded(): boolean {
    return this.#occupied - this.#closing > this.#limit;
  }

  get isUnused(): boolean {
    return this.#members.length === 0;
  }

  /** Whether one pool has the limit for itself. */
  get isSolitary(): boolean {
    return this.#members.length < 2;
  }

  join(member: CapMember): void {
    this.#members = [...this.#members, member];
  }

  leave(member: CapMember): void {
    this.#members = this.#members.filter((other) => other !== member);
  }

  /** The limit is of no use any more. */
  end(): void {
    this.#part?.unbind();
  }

  get wanted(): number {
    return this.#members.reduce((sum, { needs }) => sum + needs.wanted, this.#kept);
  }

  takeWantedPeak(): number {
    return this.#members.reduce((sum, { needs }) => sum + needs.takeWantedPeak(), this.#kept);
  }

  /**
   * Raising hands out the room at once; lowering closes idle slots now and others when they are
   * given back.
   */
  resize(limit: number, nowMs: number, reserve: Reserve = NO_RESERVE): void {
    this.#reserveSet = reserve;
    this.setLimit(limit);
    this.deal(nowMs);
  }

  partChanged(): void {
    const before = this.#limit;
    this.setLimit(this.#most);
    if (this.#limit !== before) for (const member of this.#members) member.limitChanged();
  }

  /** The same without handing out room. */
  setLimit(most: number): void {
    this.#most = most;
    this.#limit = Math.min(most, this.#part?.slots ?? most);
    this.#reserve = this.#reserveWithin();
    while (this.isExceeded) {
      const victim = this.#longestIdle();
      if (victim === undefined) break;
      victim.closeLongestIdle('over_limit');
    }
  }

  /** A slot is occupied from here. The caller has seen `room`. */
  occupy(): void {
    assert(this.#occupied < this.#limit, 'a dial needs room under max_connections');
    this.#occupied += 1;
  }

  /** Whether a slot may be kept for the proxy's own use: one has to be left for clients. */
  get mayKeep(): boolean {
    return this.#limit - this.#kept > 1;
  }

  /** Slots that are kept, over all pools of the tenant. */
  get kept(): number {
    return this.#kept;
  }

  keepingBegins(): void {
    this.#kept += 1;
  }

  keepingEnds(): void {
    this.#kept -= 1;
    assert(this.#kept >= 0, 'keeping a slot ends once');
  }

  closingBegins(): void {
    this.#closing += 1;
  }

  /**
   * The slot is free; the caller hands the room out with `deal` once its own books are in order.
   */
  vacate(was: 'closing' | 'other'): void {
    this.#occupied -= 1;
    if (was === 'closing') this.#closing -= 1;
    assert(this.#closing >= 0 && this.#occupied >= this.#closing, 'each slot is freed once');
    if (this.#occupied >= this.#limit) this.#part?.shrunk();
  }

  /** Gives free room to the pools whose waiters came first. */
  deal(nowMs: number): void {
    if (this.#dealing) return;
    this.#dealing = true;
    try {
      while (!this.isFull) {
        const next = this.#nextToDial(nowMs);
        if (next === undefined || this.roomFor(nowMs - next.sinceMs) === 0) break;
        next.member.dialOne();
      }
    } finally {
      this.#dealing = false;
    }
  }

  /**
   * Whether somebody besides `member` may need what it gives back. Cheap: asked at each release.
   */
  isWantedBeside(member: CapMember): boolean {
    if (this.isSolitary) return false;
    for (const sibling of this.#members) {
      if (sibling !== member && sibling.needs.waiting > 0) return true;
    }
    return false;
  }

  /**
   * Whether a slot of `member` should go to a sibling's waiter rather than to its own that came
   * at `sinceMs`. The longest wait goes first; but moving a slot costs a dial, so a wait counts as
   * longer from that difference on.
   */
  owesSibling(member: CapMember, sinceMs: number, nowMs: number): boolean {
    if (!this.isWantedBeside(member)) return false;
    let claims = 0;
    for (const sibling of this.#members) {
      if (sibling === member) continue;
      claims += sibling.needs.claimsBefore(sinceMs - SIBLING_PATIENCE_MS, nowMs);
    }
    return claims > this.#coming(nowMs);
  }

  /**
   * Closes idle slots, longest idle first and whatever their pool's minimum, for waiters of
   * siblings.
   */
  relieve(nowMs: number): void {
    if (this.isSolitary) return;
    let claims = 0;
    for (const member of this.#members) claims += member.needs.claimsBefore(Infinity, nowMs);
    while (claims > this.#coming(nowMs)) {
      const victim = this.#longestIdle();
      if (victim === undefined) return;
      victim.closeLongestIdle('evicted');
    }
  }

  /** Asks for slots that are kept, in all pools of the tenant, and for those of other proxies. */
  askForRoom(): void {
    this.lacks();
    if (this.#kept === 0) return;
    for (const member of this.#members) member.wantKept();
  }

  lacks(): void {
    if (this.#limit < this.#most) this.#part?.lacking();
  }

  heed(): void {
    this.#part?.heed();
  }

  /** As large a part of the reserve as of the limit. */
  #reserveWithin(): Reserve {
    if (this.#limit === this.#most) return this.#reserveSet;
    const { connections, timeoutMs } = this.#reserveSet;
    return { connections: Math.floor((connections * this.#limit) / this.#most), timeoutMs };
  }

  #limitFor(waitedMs: number): number {
    const { connections, timeoutMs } = this.#reserve;
    return waitedMs >= timeoutMs ? this.#limit : this.#limit - connections;
  }

  /** Room there is for the longest waiting, or will be when closing slots have closed. */
  #coming(nowMs: number): number {
    const longest = this.#reserve.connections > 0 ? this.#nextToDial(nowMs) : undefined;
    const waitedMs = longest === undefined ? 0 : nowMs - longest.sinceMs;
    return this.#limitFor(waitedMs) - this.#occupied + this.#closing;
  }

  #nextToDial(nowMs: number): { readonly member: CapMember; readonly sinceMs: number } | undefined {
    let next: { readonly member: CapMember; readonly sinceMs: number } | undefined;
    for (const member of this.#members) {
      const sinceMs = member.needs.dialForMs(nowMs);
      if (sinceMs === undefined || sinceMs >= (next?.sinceMs ?? Infinity)) continue;
      next = { member, sinceMs };
    }
    return next;
  }

  #longestIdle(): CapMember | undefined {
    let longest: CapMember | undefined;
    let earliestMs = Infinity;
    for (const member of this.#members) {
      const { idleSinceMs } = member.needs;
      if (idleSinceMs === undefined || idleSinceMs >= earliestMs) continue;
      longest = member;
      earliestMs = idleSinceMs;
    }
    return longest;
  }
}
