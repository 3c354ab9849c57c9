/**
 * The limit under which a pool occupies slots, as the pool sees it: its tenant's alone
 * (tenant-cap.ts), or that and its user's (user-cap.ts).
 */
import type { Shortage } from './limit-part.ts';
import type { CapMember, Reserve } from './tenant-cap.ts';

export interface SlotCap {
  readonly limit: number;
  /** What is set: over all proxies, where `limit` is this one's part of it. */
  readonly most: number;
  /** Why `limit` is below it; undefined: it is not. */
  readonly shortage: Shortage | undefined;
  readonly occupied: number;
  /** The part of the limit that is kept for clients that have waited long. */
  readonly reserve: Reserve;
  /**
   * Slots that may still be occupied, the reserve left out; 0 also while the count is above a
   * lowered limit.
   */
  readonly room: number;
  /** The same for somebody who has waited for `waitedMs`. */
  roomFor(waitedMs: number): number;
  /** Whether nobody may occupy a slot, however long it has waited. */
  readonly isFull: boolean;
  /** When waiting opens the reserve for who came at `sinceMs`; Infinity: that would not help. */
  reserveOpensMs(sinceMs: number): number;
  /** Whether slots of the reserve are in use; those that close already are not counted. */
  readonly isInReserve: boolean;
  /** Slots of pools that end: of a former config. */
  readonly retiring: number;
  /** Whether slots must close although nobody closes them: the limit was lowered. */
  readonly isExceeded: boolean;
  /** Whether one pool has the limit for itself. */
  readonly isSolitary: boolean;
  readonly kept: number;
  readonly mayKeep: boolean;
  /** The setting that is the limit, for people. */
  readonly settingName: string;
  join(member: CapMember): void;
  leave(member: CapMember): void;
  /** Sets the tenant's limit. */
  resize(limit: number, nowMs: number, reserve: Reserve): void;
  occupy(): void;
  keepingBegins(): void;
  keepingEnds(): void;
  closingBegins(): void;
  vacate(was: 'closing' | 'other'): void;
  deal(nowMs: number): void;
  isWantedBeside(member: CapMember): boolean;
  owesSibling(member: CapMember, sinceMs: number, nowMs: number): boolean;
  relieve(nowMs: number): void;
  /** Somebody waits, and there is no room: who may have some to give is asked. */
  askForRoom(): void;
  /** Looks at the clock whether what it may have still holds. */
  heed(): void;
}
