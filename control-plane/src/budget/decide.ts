/**
 * Decides who may have how much of one tenant. Pure but for the books.
 *
 * Everybody gets what he wants while it fits; else max-min fair shares. What nobody wants stays
 * where it is, for a while, and then goes back to where the formula has it. What is taken is taken
 * at once; what is given is given only from slots that nobody may occupy: that is invariant 1.
 */
import type { Books } from './books.ts';
import { BY_FORMULA, capOf, floorOf } from './entry.ts';
import type { Entry, Figures } from './entry.ts';
import { fairShares } from './fair-shares.ts';
import type { Claim } from './fair-shares.ts';
import type { ProxyAccount } from './proxy-account.ts';
import type { TenantAccount } from './tenant-account.ts';

/** A proxy keeps what it has beyond its part for so long after it last needed it. */
export const KEEP_UNNEEDED_MS = 5_000;

/** A proxy that can be given slots, as one tenant sees it. */
interface Seat extends Claim {
  readonly proxy: ProxyAccount;
  readonly entry: Entry | undefined;
  readonly formula: number;
  readonly formulaMost: number;
  target: number;
}

export function decide(tenant: TenantAccount, books: Books, nowMs: number): void {
  tenant.reckonedMs = nowMs;
  const { seats, slots } = seatsOf(tenant, books, nowMs);
  aim(seats, slots, nowMs);
  const looker = ownLooker(tenant, seats, books);
  if (looker !== undefined) looker.target = Math.max(1, looker.target);
  for (const seat of seats) if (seat.target < seat.has) take(tenant, seat, nowMs);
  let total = 0;
  for (const proxy of books.proxies.values()) total += tenant.liability(proxy);
  books.setTotal(tenant, total);
  for (const seat of seats.toSorted(byHunger)) {
    if (seat.target < seat.has) continue;
    give(tenant, seat, books, { nowMs, atLeast: seat === looker ? 1 : 0 });
  }
  noteContention(tenant, books, nowMs);
  books.forgetIdle(tenant);
}

function seatsOf(tenant: TenantAccount, books: Books, nowMs: number) {
  const seats: Seat[] = [];
  let fixed = 0;
  let sure = 0;
  for (const proxy of books.proxies.values()) {
    if (!proxy.mayGrow(nowMs)) {
      const liability = tenant.liability(proxy);
      fixed += liability;
      if (proxy.unnamed === 'formula') sure += liability;
      if (isUnknown(proxy)) books.leftovers.add(tenant.entry(proxy));
      continue;
    }
    // Of whom earlier lives may have left anything, everything counts until somebody has looked.
    const isNew = proxy.unnamedLeft === 'anything';
    const entry = isNew ? tenant.entry(proxy) : tenant.entries.get(proxy);
    if (isNew && entry !== undefined && entry.left > 0) books.leftovers.add(entry);
    const formula = tenant.formula(proxy);
    seats.push({
      proxy,
      entry,
      formula,
      formulaMost: mayComeBack(tenant, proxy, books) ? Infinity : tenant.formulaMost(proxy),
      has: entry?.has ?? formula,
      wanted: entry === undefined ? 0 : wantedBy(entry, nowMs),
      turnBeganMs: entry?.turnBeganMs ?? 0,
      turnEndedMs: entry?.turnEndedMs ?? 0,
      target: 0,
    });
  }
  // One slot is left for looks where somebody else could look.
  const most = seats.length > 1 && tenant.max > 1 ? tenant.max - 1 : tenant.max;
  const capped = seats.map((seat) => ({
    ...seat,
    wanted: Math.min(Math.max(seat.wanted, Math.min(1, seat.formula)), most),
  }));
  // Nobody is taken anything because of what others may have and nobody knows.
  const has = seats.reduce((sum, seat) => sum + seat.has, 0);
  const max = Math.min(tenant.max, tenant.allotted ?? Infinity);
  return { seats: capped, slots: Math.max(0, max - fixed, Math.min(has, max - sure)) };
}

/**
 * Others may have connections of a tenant that is not registered any more. Nobody is released then:
 * by the formula he would have a part at once when the tenant comes back.
 */
function mayComeBack(tenant: TenantAccount, proxy: ProxyAccount, books: Books): boolean {
  if (tenant.budget !== undefined) return false;
  for (const other of books.proxies.values()) {
    if (other === proxy) continue;
    if (other.mayHaveUnnamed || (tenant.entries.get(other)?.liability ?? 0) > 0) return true;
  }
  return false;
}

/** Not heard in this term, and its lease is over: what it has left can be looked for. */
function isUnknown({ unnamed, lease }: ProxyAccount): boolean {
  return unnamed === 'anything' && lease === 'over';
}

function wantedBy(entry: Entry, nowMs: number): number {
  return Math.max(entry.wanted, entry.wantedForLookUntilMs > nowMs ? 1 : 0);
}

function aim(seats: readonly Seat[], slots: number, nowMs: number): void {
  const shares = fairShares(seats, slots, nowMs);
  let spare = slots - shares.reduce((sum, share) => sum + share, 0);
  for (const [index, seat] of seats.entries()) {
    const share = shares[index] ?? 0;
    const keeps = Math.min(spare, Math.max(0, mayKeep(seat, nowMs) - share));
    seat.target = share + keeps;
    spare -= keeps;
  }
  for (const seat of seats) {
    const back = Math.min(spare, Math.max(0, seat.formula - seat.target));
    seat.target += back;
    spare -= back;
  }
}

/** What it has stays with it where nobody else wants it. */
function mayKeep({ has, formula, wanted, entry }: Seat, nowMs: number): number {
  if (entry === undefined) return has;
  if (wanted > formula || wanted >= has) entry.neededAtMs = nowMs;
  return nowMs - entry.neededAtMs < KEEP_UNNEEDED_MS ? has : Math.min(has, formula);
}

/**
 * A proxy whose part is about to grow keeps the figures that it was told for that; one that may go
 * by an older config, by which the formula gives more, is told figures too.
 */
function figuresOf({ proxy, entry, formula, formulaMost }: Seat, limit: number): Figures {
  const isPinned = proxy.part === 'about_to_grow' && entry?.latest.follows === 'grant';
  if (limit === formula && formulaMost <= limit && !isPinned) return BY_FORMULA;
  return { follows: 'grant', floor: Math.min(limit, formula), limit };
}

function take(tenant: TenantAccount, seat: Seat, nowMs: number): void {
  const entry = tenant.entry(seat.proxy);
  entry.plan(figuresOf(seat, seat.target));
  entry.turnEndedMs = nowMs;
  if (entry.wanted > seat.target) entry.hungrySinceMs ??= nowMs;
  queue(entry);
}

function give(
  tenant: TenantAccount,
  seat: Seat,
  books: Books,
  { nowMs, atLeast }: { readonly nowMs: number; readonly atLeast: number },
): void {
  const { proxy, formula } = seat;
  const before = tenant.liability(proxy);
  const server = books.serverOf(tenant);
  const room = Math.min(
    books.isBlind(nowMs) ? 0 : Infinity,
    tenant.max - tenant.total,
    server === undefined ? Infinity : serverRoom(server.max - server.total, books),
  );
  // Where too much is out already, not even what somebody still holds is given to him again.
  const most = Math.max(room < 0 ? seat.has : before + room, atLeast);
  const figures = fitting(seat, most);
  const granted = capOf(figures, formula);
  if (seat.entry !== undefined || granted > seat.has) {
    const entry = tenant.entry(proxy);
    if (granted > seat.has) {
      books.tally.slotsMoved += granted - seat.has;
      entry.turnBeganMs = nowMs;
    }
    entry.plan(figures);
    queue(entry);
    noteHunger(entry, granted, books, nowMs);
    books.setTotal(tenant, tenant.total + entry.liability - before);
  }
  if (server === undefined || granted >= seat.target || tenant.total >= tenant.max) return;
  server.contendedMs = nowMs;
  server.refused.add(tenant);
}

/**
 * A restarted proxy that may have one connection, even beyond the limit, to find out what it has
 * left behind; else nobody could. One at a time, and only where what is known fits.
 */
function ownLooker(tenant: TenantAccount, seats: readonly Seat[], books: Books): Seat | undefined {
  const lookers = seats.filter(({ entry }) => entry !== undefined && isToLook(entry));
  const looker = lookers.find(({ has }) => has > 0) ?? lookers.find(({ wanted }) => wanted > 0);
  if (looker === undefined || tenant.max === 0) return undefined;
  const own = looker.entry?.present ?? 0;
  if (books.presentOf(tenant) - own >= tenant.max) return undefined;
  const server = books.serverOf(tenant);
  if (server === undefined) return looker;
  let present = -own;
  for (const other of server.tenants) present += books.presentOf(other);
  return present < server.max ? looker : undefined;
}

function isToLook(entry: Entry): boolean {
  return entry.left > 0 && entry.looked !== 'yes';
}

/** A server's tenants are not known yet while a proxy may have some that nobody has named. */
function serverRoom(room: number, books: Books): number {
  for (const proxy of books.proxies.values()) {
    if (proxy.mayHaveUnnamed && proxy.unnamedWalk !== 'done') return 0;
  }
  return room;
}

/** What it is to have, or as much of it as `most` allows. */
function fitting(seat: Seat, most: number): Figures {
  const { target, formula, formulaMost, has } = seat;
  const aimed = figuresOf(seat, target);
  if ((aimed.follows === 'grant' ? target : formulaMost) <= most) return aimed;
  const limit = Math.max(has, Math.min(target, most));
  const asIs = seat.entry?.latest ?? BY_FORMULA;
  if (limit === has) return asIs;
  return { follows: 'grant', floor: Math.min(limit, floorOf(asIs, formula)), limit };
}

function noteHunger(entry: Entry, granted: number, books: Books, nowMs: number): void {
  if (entry.wanted > granted) {
    entry.hungrySinceMs ??= nowMs;
  } else if (entry.hungrySinceMs !== undefined) {
    books.waited(nowMs - entry.hungrySinceMs);
    entry.hungrySinceMs = undefined;
  }
}

function queue(entry: Entry): void {
  const { proxy } = entry;
  if (entry.planned === undefined) proxy.queue.delete(entry);
  else proxy.queue.add(entry);
}

function byHunger(a: Seat, b: Seat): number {
  return a.has - b.has || a.turnEndedMs - b.turnEndedMs;
}

function noteContention(tenant: TenantAccount, books: Books, nowMs: number): void {
  tenant.isCalm = true;
  let starves = false;
  for (const entry of tenant.entries.values()) {
    const isAtFormula = entry.latest.follows === 'formula' && entry.hungrySinceMs === undefined;
    if (!isAtFormula || entry.liability > tenant.formula(entry.proxy)) tenant.isCalm = false;
    if (entry.wanted > 0 && entry.has === 0) starves = true;
  }
  if (starves) {
    tenant.contendedSinceMs ??= nowMs;
    books.contended.add(tenant);
  } else {
    tenant.contendedSinceMs = undefined;
    books.contended.delete(tenant);
  }
}
