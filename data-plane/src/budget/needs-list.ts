/**
 * Which tenants a proxy tells of in one message, and what of each: those that hold more than they
 * may, those that are news, then the others by turns.
 * Owns: the choice, what was told last, the peak of what was wanted. Leaves: the figures to
 * allowance.ts, when to tell to budget.ts. No I/O.
 */
import { BUDGET_LIMITS } from '@dbbouncer/shared/contract/budget.ts';
import type { TenantNeeds } from '@dbbouncer/shared/contract/budget.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { WantedPeak } from './wanted-peak.ts';

/** What one tenant uses at this moment. */
export interface TenantUse {
  /** `tenantKey` of it. */
  readonly key: string;
  readonly tenant: TenantId;
  /** Slots, from before the dial until the server has closed. */
  readonly held: number;
  /** Slots in use or kept, and clients in line. */
  readonly wanted: number;
}

/** Everything a message could say of a tenant but what it uses. */
export type Standing = Pick<TenantNeeds, 'follows' | 'floor' | 'limit' | 'looked'> & {
  readonly cap: number;
  readonly maxConnections: number;
};

export interface NeedsListOptions {
  readonly standing: (key: string, nowMs: number) => Standing;
  /** Of whom something was said explicitly, by key. */
  readonly said: ReadonlyMap<string, { readonly tenant: TenantId }>;
}

/** `heartbeat`: everybody's turn goes on; `news`: what has changed alone. */
export type Occasion = 'heartbeat' | 'news';

interface Told {
  readonly needs: TenantNeeds;
  readonly atMs: number;
  /** Since when there is nothing to tell; undefined while there is. */
  idleSinceMs: number | undefined;
}

/** A tenant that needs nothing any more is told of for so long: one message may be lost. */
const LAST_WORDS_MS = 10_000;
/** In so many heartbeats everybody has his turn. */
const TURNS = 10;

export class NeedsList {
  readonly #options: NeedsListOptions;
  readonly #peaks = new Map<string, WantedPeak>();
  readonly #told = new Map<string, Told>();
  #turn: Iterator<[string, { readonly tenant: TenantId }]> | undefined;

  constructor(options: NeedsListOptions) {
    this.#options = options;
  }

  /** @param uses with `heartbeat` all; with `news` those that may be news, or above their cap */
  next(occasion: Occasion, uses: Iterable<TenantUse>, nowMs: number) {
    const above: TenantNeeds[] = [];
    const news: TenantNeeds[] = [];
    const rest: TenantNeeds[] = [];
    const seen = new Set<string>();
    const sort = (use: TenantUse): void => {
      seen.add(use.key);
      const { needs, cap } = this.#needsOf(use, nowMs);
      if (needs.held > cap) above.push(needs);
      else if (this.#isNews(use.key, needs)) news.push(needs);
      else if (occasion === 'heartbeat') rest.push(needs);
    };
    for (const use of uses) sort(use);
    if (occasion === 'heartbeat') {
      // Of those who are not in use any more the last thing told is not true any more either.
      for (const [key, { needs }] of Array.from(this.#told)) {
        if (!seen.has(key)) sort({ key, tenant: needs.tenant, held: 0, wanted: 0 });
      }
      this.#giveTurns(seen, sort);
    }
    rest.sort((a, b) => this.#toldMs(a) - this.#toldMs(b));
    const tenants = [...above, ...news, ...rest].slice(0, BUDGET_LIMITS.tenantsMax);
    for (const needs of tenants) this.#tell(needs, nowMs);
    return { tenants, aboveOmitted: Math.max(0, above.length - BUDGET_LIMITS.tenantsMax) };
  }

  /** An answer has named what a tenant holds: when that falls, it is news. */
  answered(use: TenantUse, nowMs: number): void {
    const { needs } = this.#needsOf(use, nowMs);
    this.#told.set(use.key, { needs, atMs: nowMs, idleSinceMs: undefined });
  }

  /** One page of all that departs from the formula or is held, in order of keys. */
  page(uses: Iterable<TenantUse>, after: string, nowMs: number) {
    const all = new Map<string, TenantUse>();
    for (const [key, { tenant }] of this.#options.said) {
      all.set(key, { key, tenant, held: 0, wanted: 0 });
    }
    for (const use of uses) if (use.held > 0 || all.has(use.key)) all.set(use.key, use);
    const left = [...all.keys()].filter((key) => key > after).toSorted();
    const keys = left.slice(0, BUDGET_LIMITS.tenantsMax);
    const tenants = keys.flatMap((key) => {
      const use = all.get(key);
      return use === undefined ? [] : this.#needsOf(use, nowMs).needs;
    });
    return { tenants, more: left.length > keys.length };
  }

  /** Of whom something was said and who uses nothing: some of them with each heartbeat. */
  #giveTurns(seen: ReadonlySet<string>, sort: (use: TenantUse) => void): void {
    const { said } = this.#options;
    let turns = Math.min(said.size, Math.max(said.size / TURNS, BUDGET_LIMITS.tenantsMax));
    this.#turn ??= said.entries();
    for (; turns > 0; turns--) {
      const next = this.#turn.next();
      if (next.done === true) {
        this.#turn = undefined;
        return;
      }
      const [key, { tenant }] = next.value;
      if (!seen.has(key)) sort({ key, tenant, held: 0, wanted: 0 });
    }
  }

  #needsOf({ key, tenant, held, wanted }: TenantUse, nowMs: number) {
    const { cap, maxConnections, ...standing } = this.#options.standing(key, nowMs);
    const peak = this.#peakOf(key, wanted, nowMs);
    const needs = { tenant, ...standing, held, wanted: Math.min(peak, maxConnections) };
    return { needs, cap };
  }

  #peakOf(key: string, wanted: number, nowMs: number): number {
    let peak = this.#peaks.get(key);
    if (peak === undefined) {
      if (wanted === 0) return 0;
      peak = new WantedPeak();
      this.#peaks.set(key, peak);
    }
    const most = peak.observe(wanted, nowMs);
    if (most === 0) this.#peaks.delete(key);
    return most;
  }

  #isNews(key: string, needs: TenantNeeds): boolean {
    const last = this.#told.get(key)?.needs;
    if (last === undefined) return !isNothing(needs);
    return FIELDS.some((field) => needs[field] !== last[field]);
  }

  #toldMs({ tenant }: TenantNeeds): number {
    return this.#told.get(tenantKey(tenant))?.atMs ?? -Infinity;
  }

  #tell(needs: TenantNeeds, nowMs: number): void {
    const key = tenantKey(needs.tenant);
    if (!isNothing(needs)) {
      this.#told.set(key, { needs, atMs: nowMs, idleSinceMs: undefined });
      return;
    }
    const idleSinceMs = this.#told.get(key)?.idleSinceMs ?? nowMs;
    if (nowMs - idleSinceMs >= LAST_WORDS_MS) this.#told.delete(key);
    else this.#told.set(key, { needs, atMs: nowMs, idleSinceMs });
  }
}

const FIELDS = ['follows', 'floor', 'limit', 'held', 'wanted', 'looked'] as const;

/** What nobody has to be told of: it is what everybody assumes. */
function isNothing({ follows, held, wanted }: TenantNeeds): boolean {
  return follows === 'formula' && held === 0 && wanted === 0;
}
