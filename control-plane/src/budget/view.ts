/**
 * What operators see of the budget: members and their parts, tenants that depart from them, and
 * which slots are blocked by what.
 */
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Allocator } from './allocator.ts';
import type { Entry } from './entry.ts';
import { capOf, floorOf } from './entry.ts';
import type { LookProblem } from './looking.ts';
import type { ProxyAccount } from './proxy-account.ts';
import type { TenantAccount } from './tenant-account.ts';

/**
 * Why slots are not known to be free. `not_heard`: the proxy has not spoken in this term, and its
 * lease may hold; `left_by_lost`: nobody has looked yet what a lost proxy holds; `left_by_earlier`:
 * the same of an earlier life of a proxy; else why nobody can look.
 */
export type BlockedReason = 'not_heard' | 'left_by_lost' | 'left_by_earlier' | LookProblem;

export interface BlockedSlots {
  readonly proxy: ProxyId;
  readonly slots: number;
  readonly reason: BlockedReason;
  readonly message: string;
}

export interface BudgetMemberView {
  readonly proxy: ProxyId;
  readonly life: number;
  readonly status: 'live' | 'silent' | 'lost';
  readonly silentMs: number;
  /** It may hold `max_connections` divided by it without asking; nothing: no part. */
  readonly divisor: number | undefined;
  /** For whom it waits before its part can grow. */
  readonly waitsFor: ProxyId | undefined;
}

export interface TenantOnProxyView {
  readonly proxy: ProxyId;
  readonly floor: number;
  readonly limit: number;
  readonly held: number;
  readonly wanted: number;
}

export interface TenantBudgetView {
  readonly tenant: string;
  readonly max: number;
  readonly server: string | undefined;
  readonly proxies: readonly TenantOnProxyView[];
  readonly blocked: readonly BlockedSlots[];
  /** Slots that are wanted and not granted, over all proxies. */
  readonly unmet: number;
}

export function membersOf(allocator: Allocator, nowMs: number): readonly BudgetMemberView[] {
  return [...allocator.books.proxies.values()]
    .map((proxy) => ({
      proxy: proxy.id,
      life: proxy.life,
      status: statusOf(allocator, proxy, nowMs),
      silentMs: Math.max(0, nowMs - proxy.heardMs),
      divisor: proxy.share?.divisor,
      waitsFor: allocator.members.waitsFor(proxy),
    }))
    .toSorted((a, b) => (a.proxy < b.proxy ? -1 : 1));
}

/** Tenants of which something is said beside the formula, in order of their keys. */
export function tenantsOf(allocator: Allocator, after: string, limit: number) {
  const { tenants } = allocator.books;
  const keys = [...tenants.keys()].filter((key) => key > after).toSorted();
  const page = keys.slice(0, limit).flatMap((key) => {
    const tenant = tenants.get(key);
    return tenant === undefined ? [] : viewOf(allocator, tenant);
  });
  return { tenants: page, next: keys.length > limit ? keys[limit - 1] : undefined };
}

/** One tenant, also where nothing but the formula says what its proxies have. */
export function tenantOf(allocator: Allocator, key: string): TenantBudgetView | undefined {
  const { books } = allocator;
  if (books.config.get(key) === undefined && !books.tenants.has(key)) return undefined;
  const tenant = books.tenant(key);
  const view = viewOf(allocator, tenant);
  books.dirty.add(tenant);
  return view;
}

/** Of all tenants; how many slots nobody may use, by why. */
export function blockedOf(allocator: Allocator): ReadonlyMap<BlockedReason, number> {
  const slots = new Map<BlockedReason, number>();
  for (const tenant of allocator.books.tenants.values()) {
    for (const { reason, slots: some } of viewOf(allocator, tenant).blocked) {
      slots.set(reason, (slots.get(reason) ?? 0) + some);
    }
  }
  return slots;
}

function statusOf(
  allocator: Allocator,
  proxy: ProxyAccount,
  nowMs: number,
): BudgetMemberView['status'] {
  if (proxy.mayGrow(nowMs)) return 'live';
  return allocator.isLost(proxy, nowMs) ? 'lost' : 'silent';
}

function viewOf(allocator: Allocator, tenant: TenantAccount): TenantBudgetView {
  const proxies: TenantOnProxyView[] = [];
  const blocked: BlockedSlots[] = [];
  let unmet = 0;
  for (const proxy of allocator.books.proxies.values()) {
    const entry = tenant.entries.get(proxy);
    const formula = tenant.formula(proxy);
    const told = entry?.told ?? { follows: 'formula' as const };
    const limit = capOf(told, formula);
    const wanted = entry?.wanted ?? 0;
    unmet += Math.max(0, wanted - limit);
    const held = Math.min(entry?.held ?? 0, tenant.max);
    proxies.push({ proxy: proxy.id, floor: floorOf(told, formula), limit, held, wanted });
    blocked.push(...blockedBy(allocator, tenant, proxy, entry));
  }
  const { budget, max, key } = tenant;
  return {
    tenant: budget?.id ?? key,
    max,
    server: budget?.server?.name,
    proxies: proxies.toSorted((a, b) => (a.proxy < b.proxy ? -1 : 1)),
    blocked,
    unmet: Math.min(unmet, max),
  };
}

function blockedBy(
  allocator: Allocator,
  tenant: TenantAccount,
  proxy: ProxyAccount,
  entry: Entry | undefined,
): readonly BlockedSlots[] {
  const isKnown = proxy.lease === 'may_hold' && proxy.unnamed === 'formula';
  const present = entry?.present ?? tenant.liability(proxy);
  const slots = isKnown ? (entry?.left ?? 0) : Math.max(present, entry?.left ?? 0);
  if (slots === 0) return [];
  const problem = entry && allocator.looking.problemOf(entry);
  const reason: BlockedReason = problem?.reason ?? reasonFor(proxy, isKnown);
  const most = Math.min(slots, tenant.max);
  return [{ proxy: proxy.id, slots: most, reason, message: problem?.message ?? '' }];
}

function reasonFor(proxy: ProxyAccount, isKnown: boolean): BlockedReason {
  if (isKnown) return 'left_by_earlier';
  return proxy.lease === 'over' ? 'left_by_lost' : 'not_heard';
}
