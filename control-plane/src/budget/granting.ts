/**
 * Writes the grants that go out: one under way for each proxy, at least one each second while it is
 * heard. A lease is given only to a proxy whose books are right: one that comes back, or that a new
 * term does not know yet, is first asked for what it has, and then corrected.
 */
import { BUDGET_LIMITS } from '@dbbouncer/shared/contract/budget.ts';
import type { BudgetGrant, BudgetShare, Granted } from '@dbbouncer/shared/contract/budget.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Books } from './books.ts';
import { floorOf } from './entry.ts';
import type { Entry } from './entry.ts';
import { divisorOf, QUIET_AFTER_MS } from './proxy-account.ts';
import type { ProxyAccount } from './proxy-account.ts';

/** A proxy that could not keep a grant, or did not understand it, is asked again after so long. */
export const REFUSED_AGAIN_MS = 1_000;

/**
 * The next grant to a proxy, or nothing while one is under way or nothing is to be said.
 * @param share to be given; nothing: as it is.
 */
export function nextGrant(
  proxy: ProxyAccount,
  share: BudgetShare | undefined,
  { term, books }: { readonly term: number; readonly books: Books },
  nowMs: number,
): BudgetGrant | undefined {
  if (!isDue(proxy, share, nowMs)) return undefined;
  if (proxy.standing === 'correcting') correct(proxy);
  const entries = firstOf(proxy.queue);
  const number = proxy.grantNumber + 1;
  const isTelling = proxy.standing === 'telling';
  proxy.grantNumber = number;
  proxy.grantedMs = nowMs;
  proxy.underWay = {
    number,
    sentMs: nowMs,
    entries,
    asksAfter: isTelling ? (proxy.toldUpTo ?? '') : undefined,
  };
  const isLeased = proxy.standing === 'known';
  if (isLeased) proxy.leaseFromMs = proxy.heardMs;
  if (share !== undefined) sendShare(proxy, share, number);
  books.tally.grants += 1;
  return {
    proxy: proxy.id,
    life: proxy.life,
    term,
    number,
    stampMs: isLeased ? proxy.stampMs : 0,
    leaseMs: BUDGET_LIMITS.leaseMs,
    ...(proxy.sentShare !== undefined && { share: proxy.sentShare.share }),
    ...written(proxy, entries, number),
    ...(isTelling && { tell: { after: proxy.toldUpTo ?? '' } }),
  };
}

function isDue(proxy: ProxyAccount, share: BudgetShare | undefined, nowMs: number): boolean {
  if (proxy.standing === 'silent' || proxy.recorded === 'no') return false;
  if (proxy.underWay !== undefined || nowMs < proxy.retryMs) return false;
  if (nowMs - proxy.heardMs >= QUIET_AFTER_MS) return false;
  if (proxy.standing !== 'known' || proxy.queue.size > 0 || share !== undefined) return true;
  return nowMs - proxy.grantedMs >= BUDGET_LIMITS.heartbeatMs - 50;
}

/**
 * While its lease was over, a proxy counted with its floors; it must have nothing beyond them when
 * a lease begins again. Once that is obeyed its books are right.
 */
function correct(proxy: ProxyAccount): void {
  if (proxy.lease === 'over') {
    for (const entry of proxy.entries.values()) correctEntry(entry);
    if (proxy.queue.size > 0 || proxy.unconfirmed.size > 0) return;
  }
  proxy.lease = 'may_hold';
  proxy.standing = 'known';
}

function correctEntry(entry: Entry): void {
  const { latest, tenant, proxy } = entry;
  if (latest.follows === 'formula') return;
  const floor = floorOf(latest, tenant.formula(proxy));
  if (latest.limit <= floor) return;
  entry.plan({ follows: 'grant', floor, limit: floor });
  proxy.queue.add(entry);
}

function sendShare(proxy: ProxyAccount, share: BudgetShare, number: number): void {
  proxy.sentShare = { number, share };
  proxy.possibleDivisor = Math.min(proxy.possibleDivisor, divisorOf(share));
}

function firstOf(queue: ReadonlySet<Entry>): readonly Entry[] {
  const entries: Entry[] = [];
  for (const entry of queue) {
    if (entries.length === BUDGET_LIMITS.tenantsMax) break;
    entries.push(entry);
  }
  return entries;
}

function written(proxy: ProxyAccount, entries: readonly Entry[], number: number) {
  const tenants: Granted[] = [];
  const released: TenantId[] = [];
  if (proxy.sentShare !== undefined) proxy.sentShare = { ...proxy.sentShare, number };
  for (const entry of entries) {
    const figures = entry.send(number);
    proxy.queue.delete(entry);
    proxy.unconfirmed.add(entry);
    const tenant = entry.tenant.budget?.id ?? (entry.tenant.key as TenantId);
    if (figures.follows === 'formula') released.push(tenant);
    else tenants.push({ tenant, floor: figures.floor, limit: figures.limit });
  }
  return { tenants, released };
}
