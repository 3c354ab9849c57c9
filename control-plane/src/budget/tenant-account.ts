/**
 * One tenant in the books of the allocator. Only tenants of which somebody has said something are
 * in them; all others follow the formula and cost nothing.
 */
import type { TenantBudget } from './budget-config.ts';
import { Entry } from './entry.ts';
import type { ProxyAccount } from './proxy-account.ts';

/** What held before a change of the config; proxies that have not applied it go by it. */
export interface FormerBudget {
  /** Of the change. */
  readonly position: number;
  readonly maxConnections: number;
  readonly base: number;
}

const FORMER_MAX = 8;
/** More than any limit: nothing can be given while somebody may have so much. */
const UNKNOWN = 1_000_000_000;

export class TenantAccount {
  readonly key: string;
  /** Nothing: it is not registered; nobody may have anything. */
  budget: TenantBudget | undefined;
  former: readonly FormerBudget[] = [];
  readonly entries = new Map<ProxyAccount, Entry>();
  /** What its declared server leaves it while that is contended. */
  allotted: number | undefined;
  allotTurnBeganMs = 0;
  allotTurnEndedMs = 0;
  /** Of all proxies, as it was reckoned last; counts on its declared server. */
  total = 0;
  reckonedMs = -Infinity;
  /** Whether everybody has what the formula gives, and wants no more. */
  isCalm = true;
  /** Since when there are more who want a slot than slots. */
  contendedSinceMs: number | undefined;

  constructor(key: string, budget: TenantBudget | undefined, former: readonly FormerBudget[]) {
    this.key = key;
    this.budget = budget;
    this.former = former;
  }

  get max(): number {
    return this.budget?.maxConnections ?? 0;
  }

  formula(proxy: ProxyAccount): number {
    return share(this.budget?.base ?? 0, proxy.divisorLeast);
  }

  /** At any config that the proxy may serve, with any share that it may have. */
  formulaMost(proxy: ProxyAccount): number {
    let base = this.budget?.base ?? 0;
    if (proxy.divisorLeast === Infinity) return 0;
    if (this.#isPastUnknown(proxy)) return UNKNOWN;
    for (const former of this.former) {
      if (former.position > proxy.appliedPosition) base = Math.max(base, former.base);
    }
    return share(base, proxy.divisorLeast);
  }

  liability(proxy: ProxyAccount): number {
    const entry = this.entries.get(proxy);
    if (entry !== undefined) return entry.liability;
    const isKnown = proxy.unnamed === 'formula' && proxy.unnamedLeft === 'nothing';
    return isKnown ? this.formulaMost(proxy) : this.maxMost(proxy);
  }

  /** The highest `max_connections` that the proxy may have been given a part of. */
  maxMost(proxy: ProxyAccount): number {
    let { max } = this;
    if (this.#isPastUnknown(proxy)) return UNKNOWN;
    for (const former of this.former) {
      if (former.position > proxy.appliedPosition) max = Math.max(max, former.maxConnections);
    }
    return max;
  }

  /** It may go by a config that was changed before this term began, and nobody knows to what. */
  #isPastUnknown({ mayHaveUnnamed, appliedPosition, configsFrom }: ProxyAccount): boolean {
    if (!mayHaveUnnamed && appliedPosition >= configsFrom) return false;
    return this.budget === undefined
      ? appliedPosition < configsFrom
      : this.budget.changedAt > appliedPosition;
  }

  entry(proxy: ProxyAccount): Entry {
    const known = this.entries.get(proxy);
    if (known !== undefined) return known;
    const entry = new Entry(this, proxy);
    if (proxy.unnamed === 'anything') entry.held = this.maxMost(proxy);
    if (proxy.unnamedLeft === 'anything') entry.left = this.maxMost(proxy);
    this.entries.set(proxy, entry);
    proxy.entries.set(this.key, entry);
    return entry;
  }

  drop(entry: Entry): void {
    this.entries.delete(entry.proxy);
    entry.proxy.entries.delete(this.key);
    entry.proxy.queue.delete(entry);
    entry.proxy.above.delete(entry);
    entry.proxy.unconfirmed.delete(entry);
  }

  /** A change of the config at `position`, after which `budget` holds. */
  change(budget: TenantBudget | undefined, position: number): void {
    const { max } = this;
    const base = this.budget?.base ?? 0;
    this.budget = budget;
    if (max <= this.max && base <= (budget?.base ?? 0)) return;
    const all = [...this.former, { position, maxConnections: max, base }];
    this.former = all.length > FORMER_MAX ? [worstOf(all)] : all;
  }

  /** Every proxy has applied the config up to `position`. */
  forgetFormer(position: number): void {
    this.former = this.former.filter((former) => former.position > position);
  }
}

function share(base: number, divisor: number): number {
  return divisor === Infinity ? 0 : Math.floor(base / divisor);
}

function worstOf(all: readonly FormerBudget[]): FormerBudget {
  return {
    position: Math.max(...all.map(({ position }) => position)),
    maxConnections: Math.max(...all.map(({ maxConnections }) => maxConnections)),
    base: Math.max(...all.map(({ base }) => base)),
  };
}
