/**
 * The limit of one pool whose server user may have fewer server connections than its tenant: a slot
 * takes room under both. All pools of one user share the user's limit, which is Infinity where
 * nobody set one.
 * Owns: that both limits are asked and told of everything. Leaves: the counting to tenant-cap.ts,
 * once for the tenant and once for the user.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { Shortage } from './limit-part.ts';
import type { SlotCap } from './slot-cap.ts';
import type { CapMember, CapNeeds, Reserve, TenantCap } from './tenant-cap.ts';

export class UserCap implements SlotCap {
  readonly #tenant: TenantCap;
  readonly #user: TenantCap;
  readonly #userName: string;
  /** The pool as its tenant's limit knows it. */
  #member: CapMember | undefined;

  constructor(tenant: TenantCap, user: TenantCap, userName: string) {
    this.#tenant = tenant;
    this.#user = user;
    this.#userName = userName;
  }

  get room(): number {
    return Math.min(this.#tenant.room, this.#user.room);
  }

  roomFor(waitedMs: number): number {
    return Math.min(this.#tenant.roomFor(waitedMs), this.#user.room);
  }

  get isFull(): boolean {
    return this.#tenant.isFull || this.#user.isFull;
  }

  get reserve(): Reserve {
    return this.#tenant.reserve;
  }

  reserveOpensMs(sinceMs: number): number {
    return this.#user.isFull ? Infinity : this.#tenant.reserveOpensMs(sinceMs);
  }

  get isInReserve(): boolean {
    return this.#tenant.isInReserve;
  }

  get retiring(): number {
    return this.#binding.retiring;
  }

  get limit(): number {
    return this.#binding.limit;
  }

  get most(): number {
    return this.#binding.most;
  }

  get shortage(): Shortage | undefined {
    return this.#binding.shortage;
  }

  get occupied(): number {
    return this.#binding.occupied;
  }

  get settingName(): string {
    return this.#binding === this.#tenant
      ? this.#tenant.settingName
      : `max_connections of user "${this.#userName}"`;
  }

  get isExceeded(): boolean {
    return this.#tenant.isExceeded || this.#user.isExceeded;
  }

  get isSolitary(): boolean {
    return this.#tenant.isSolitary;
  }

  get kept(): number {
    return this.#tenant.kept;
  }

  get mayKeep(): boolean {
    return this.#tenant.mayKeep && this.#user.mayKeep;
  }

  join(member: CapMember): void {
    this.#member = { ...member, needs: new NeedsWithin(member.needs, this.#user) };
    this.#tenant.join(this.#member);
    this.#user.join(member);
  }

  leave(member: CapMember): void {
    this.#tenant.leave(this.#joined);
    this.#user.leave(member);
  }

  resize(limit: number, nowMs: number, reserve: Reserve): void {
    this.#tenant.resize(limit, nowMs, reserve);
  }

  /** Sets the user's limit; what it makes room for is dealt out by the tenant's. */
  resizeUser(limit: number, nowMs: number): void {
    if (limit === this.#user.limit) return;
    this.#user.setLimit(limit);
    this.#tenant.deal(nowMs);
  }

  occupy(): void {
    this.#tenant.occupy();
    this.#user.occupy();
  }

  keepingBegins(): void {
    this.#tenant.keepingBegins();
    this.#user.keepingBegins();
  }

  keepingEnds(): void {
    this.#tenant.keepingEnds();
    this.#user.keepingEnds();
  }

  closingBegins(): void {
    this.#tenant.closingBegins();
    this.#user.closingBegins();
  }

  vacate(was: 'closing' | 'other'): void {
    this.#tenant.vacate(was);
    this.#user.vacate(was);
  }

  askForRoom(): void {
    this.#tenant.askForRoom();
  }

  heed(): void {
    this.#tenant.heed();
  }

  deal(nowMs: number): void {
    this.#tenant.deal(nowMs);
  }

  isWantedBeside(): boolean {
    return this.#tenant.isWantedBeside(this.#joined);
  }

  owesSibling(member: CapMember, sinceMs: number, nowMs: number): boolean {
    return (
      this.#tenant.owesSibling(this.#joined, sinceMs, nowMs) ||
      this.#user.owesSibling(member, sinceMs, nowMs)
    );
  }

  relieve(nowMs: number): void {
    this.#user.relieve(nowMs);
    this.#tenant.relieve(nowMs);
  }

  /** The limit that leaves less room; of two that leave none, the one that others do not hold. */
  get #binding(): TenantCap {
    return this.#user.room <= this.#tenant.room ? this.#user : this.#tenant;
  }

  get #joined(): CapMember {
    assert(this.#member !== undefined, 'a pool joins its limit before it asks');
    return this.#member;
  }
}

/** A pool's needs, as far as its user has room: a slot of another user would not help beyond. */
class NeedsWithin implements CapNeeds {
  readonly #needs: CapNeeds;
  readonly #user: TenantCap;

  constructor(needs: CapNeeds, user: TenantCap) {
    this.#needs = needs;
    this.#user = user;
  }

  get retiring(): number {
    return this.#needs.retiring;
  }

  get waiting(): number {
    return this.#needs.waiting;
  }

  get idleSinceMs(): number | undefined {
    return this.#needs.idleSinceMs;
  }

  get wanted(): number {
    return Math.min(this.#needs.wanted, this.#user.limit);
  }

  takeWantedPeak(): number {
    return Math.min(this.#needs.takeWantedPeak(), this.#user.limit);
  }

  claimsBefore(sinceMs: number, nowMs: number): number {
    return Math.min(this.#needs.claimsBefore(sinceMs, nowMs), this.#user.room);
  }

  dialForMs(nowMs: number): number | undefined {
    return this.#user.room > 0 ? this.#needs.dialForMs(nowMs) : undefined;
  }
}
