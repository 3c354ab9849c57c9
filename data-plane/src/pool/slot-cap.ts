/**
 * The limit under which a pool occupies slots, as the pool sees it: its tenant's alone
 * (tenant-cap.ts), or that and its user's (user-cap.ts).
 */
import type { CapMember } from './tenant-cap.ts';

export interface SlotCap {
  readonly limit: number;
  readonly occupied: number;
  /** Slots that may still be occupied; 0 also while the count is above a lowered limit. */
  readonly room: number;
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
  resize(limit: number, nowMs: number): void;
  occupy(): void;
  keepingBegins(): void;
  keepingEnds(): void;
  closingBegins(): void;
  vacate(was: 'closing' | 'other'): void;
  deal(nowMs: number): void;
  isWantedBeside(member: CapMember): boolean;
  owesSibling(member: CapMember, sinceMs: number, nowMs: number): boolean;
  relieve(nowMs: number): void;
}
