/**
 * Who belongs to the fleet, and which part of every tenant each member has without asking. The
 * parts of all members together are never more than the whole: before somebody gets a part, or a
 * larger one, all others have obeyed theirs.
 * Owns: what is recorded of members, divisors. Leaves: sending to granting.ts.
 */
import type { BudgetShare } from '@dbbouncer/shared/contract/budget.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Books } from './books.ts';
import type { Entry } from './entry.ts';
import { divisorOf } from './proxy-account.ts';
import type { ProxyAccount } from './proxy-account.ts';
import type { TenantAccount } from './tenant-account.ts';

/** A member as the record on the bus has it; `divisor`: the smallest it may go by. */
export interface Member {
  readonly proxy: ProxyId;
  readonly life: number;
  readonly divisor: number | null;
  /** It goes by this config or a later one. */
  readonly appliedPosition: Position;
}

/** Parts grow again only when nobody has come or gone for so long. */
export const STEADY_MS = 10_000;
/** How far members are with the config is written so long after it has changed. */
const POSITIONS_WRITTEN_MS = 10_000;
/** All tenants of the books are gone through for it. */
const PART_TRIED_AGAIN_MS = 50;

/** All that is recorded of a fleet. */
export interface RecordedFleet {
  readonly members: readonly Member[];
  /** `not_surely`: the record before was lost, and nobody knows yet who else may have something. */
  readonly areAll: 'surely' | 'not_surely';
}

export class Members {
  readonly #books: Books;
  readonly #expected: number;
  #changedMs: number;
  /** Of the newest record, of the one that is being written, of the one on the bus. */
  #version = 1;
  #writing = 0;
  #written = 0;
  #areAll: RecordedFleet['areAll'] = 'surely';
  #retryMs = 0;
  #wroteMs = 0;
  #position: Position;
  readonly #divisors = new Map<ProxyId, { divisor: number; life: number; version: number }>();

  constructor(books: Books, expected: number, nowMs: number) {
    this.#books = books;
    this.#expected = expected;
    this.#position = books.config.position;
    this.#changedMs = nowMs - STEADY_MS;
  }

  /** What the record on the bus said at the begin of the term. */
  remember({ members, areAll }: RecordedFleet, nowMs: number): void {
    this.#areAll = areAll;
    for (const { proxy: id, life, divisor, appliedPosition } of members) {
      const proxy = this.#books.proxy(id, life, nowMs);
      proxy.unnamed = 'anything';
      proxy.appliedPosition = appliedPosition;
      proxy.recorded = 'yes';
      proxy.share = divisor === null ? null : { divisor };
      this.#divisors.set(id, { divisor: divisorOf(proxy.share), life, version: 0 });
    }
  }

  get divisor(): number {
    return Math.max(1, this.#expected, this.#books.proxies.size);
  }

  /** Somebody was heard; he is a member from now on. */
  heard(proxy: ProxyAccount, nowMs: number): void {
    const recorded = this.#divisors.get(proxy.id);
    if (recorded !== undefined && recorded.divisor <= proxy.divisorLeast) return;
    this.#record(proxy, proxy.divisorLeast);
    if (recorded === undefined) this.#changedMs = nowMs;
  }

  forget(proxy: ProxyAccount, nowMs: number): void {
    this.#books.remove(proxy);
    this.#divisors.delete(proxy.id);
    this.#version += 1;
    this.#changedMs = nowMs;
  }

  /** The record as it has to be written, or nothing while it is as it should be. */
  toWrite(nowMs: number): RecordedFleet | undefined {
    if (this.#areAll === 'not_surely' && !this.#books.isBlind(nowMs)) {
      this.#areAll = 'surely';
      this.#version += 1;
    }
    const { position } = this.#books.config;
    if (position > this.#position && nowMs - this.#wroteMs > POSITIONS_WRITTEN_MS) {
      this.#position = position;
      this.#version += 1;
    }
    if (this.#writing > this.#written || this.#written === this.#version) return undefined;
    if (nowMs < this.#retryMs) return undefined;
    this.#writing = this.#version;
    this.#wroteMs = nowMs;
    return this.recorded;
  }

  /** All that is to be recorded, written or not. */
  get recorded(): RecordedFleet {
    const members = [...this.#divisors].map(([proxy, { divisor, life }]) => ({
      proxy,
      life,
      divisor: divisor === Infinity ? null : divisor,
      appliedPosition: this.#books.proxies.get(proxy)?.appliedPosition ?? 0,
    }));
    return { members, areAll: this.#areAll };
  }

  wrote(): void {
    this.#written = this.#writing;
    for (const proxy of this.#books.proxies.values()) {
      const recorded = this.#divisors.get(proxy.id);
      if (recorded !== undefined && recorded.version <= this.#written) proxy.recorded = 'yes';
    }
  }

  notWritten(nowMs: number): void {
    this.#writing = this.#written;
    this.#retryMs = nowMs + 500;
  }

  /** The share that a proxy is to be told now, or nothing. */
  shareFor(proxy: ProxyAccount, nowMs: number): BudgetShare | undefined {
    if (proxy.underWay !== undefined) return undefined;
    if (proxy.leaving === 'yes') return proxy.sentShare === undefined ? null : undefined;
    if (proxy.standing !== 'known') return undefined;
    const { divisor } = this;
    const current = divisorOf(proxy.sentShare?.share ?? proxy.share);
    if (current <= divisor) proxy.part = 'steady';
    if (current === divisor) {
      if (proxy.divisorLeast > (this.#divisors.get(proxy.id)?.divisor ?? 0)) {
        this.#record(proxy, proxy.divisorLeast);
      }
      return undefined;
    }
    if (current < divisor) return { divisor };
    if (current !== Infinity && nowMs - this.#changedMs < STEADY_MS) return undefined;
    return this.#mayHave(proxy, divisor, nowMs) ? { divisor } : undefined;
  }

  /** Why a proxy has no part, or a smaller one than it should. */
  waitsFor(proxy: ProxyAccount): ProxyId | undefined {
    return this.#holdingUp(proxy, this.divisor)?.id;
  }

  #mayHave(proxy: ProxyAccount, divisor: number, nowMs: number): boolean {
    const isHeldUp =
      this.#books.isWideChangeUnderWay ||
      this.#books.isBlind(nowMs) ||
      this.#holdingUp(proxy, divisor) !== undefined;
    proxy.part = isHeldUp ? 'steady' : 'about_to_grow';
    if (isHeldUp || nowMs - proxy.partTriedMs < PART_TRIED_AGAIN_MS) return false;
    proxy.partTriedMs = nowMs;
    if (this.#pin(proxy, divisor) > 0) return false;
    const recorded = this.#divisors.get(proxy.id);
    if (recorded !== undefined && recorded.divisor <= divisor) {
      return recorded.version <= this.#written;
    }
    this.#record(proxy, divisor);
    return false;
  }

  /** Somebody who may still go by too large a part, or of whom nothing is known. */
  #holdingUp(proxy: ProxyAccount, divisor: number): ProxyAccount | undefined {
    for (const other of this.#books.proxies.values()) {
      if (other === proxy) continue;
      const isKnown = other.unnamed === 'formula' && other.unnamedLeft === 'nothing';
      if (!isKnown || other.divisorLeast < divisor) return other;
    }
    return undefined;
  }

  /**
   * Where the larger part is more than what is free, the proxy is first told the figures that it
   * has. @returns how many tenants wait for that.
   */
  #pin(proxy: ProxyAccount, divisor: number): number {
    let waiting = 0;
    for (const tenant of this.#books.tenants.values()) {
      const entry = tenant.entries.get(proxy);
      if (entry?.latest.follows === 'grant') {
        if (mayFollowFormula(entry)) waiting += 1;
      } else if (this.#isTooMuch(tenant, proxy, divisor)) {
        const limit = tenant.formula(proxy);
        const pinned = tenant.entry(proxy);
        pinned.plan({ follows: 'grant', floor: limit, limit });
        proxy.queue.add(pinned);
        waiting += 1;
      }
    }
    return waiting;
  }

  #isTooMuch(tenant: TenantAccount, proxy: ProxyAccount, divisor: number): boolean {
    const part = Math.floor(Math.max(tenant.budget?.base ?? 0, ...bases(tenant)) / divisor);
    const isGone = tenant.budget === undefined;
    if (part <= tenant.formula(proxy) && !isGone) return false;
    let others = 0;
    for (const other of this.#books.proxies.values()) {
      if (other !== proxy) others += tenant.liability(other);
    }
    return others + part > tenant.max;
  }

  #record(proxy: ProxyAccount, divisor: number): void {
    this.#version += 1;
    this.#divisors.set(proxy.id, { divisor, life: proxy.life, version: this.#version });
  }
}

function mayFollowFormula({ told, sent }: Entry): boolean {
  const possible = [told, ...(sent?.possible ?? [])];
  return possible.some(({ follows }) => follows === 'formula');
}

function bases(tenant: TenantAccount): readonly number[] {
  return tenant.former.map(({ base }) => base);
}
