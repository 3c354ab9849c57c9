/**
 * Which proxies try a change, and what each had counted before. Pure: the same proxies for the same
 * tenant as long as the fleet is the same, others for other tenants.
 */
import { createHash } from 'node:crypto';
import { CANARY_PROXIES_MAX } from '@dbbouncer/shared/contract/canary-limits.ts';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { CountedBefore } from '../domain/tenant/events.ts';
import { COUNTED_BEFORE_MAX } from '../domain/tenant/events.ts';
import { controlErrors } from '../errors.ts';
import type { ProxyView } from '../fleet/fleet-state.ts';

export interface Chosen {
  readonly proxies: ProxyId[];
  readonly before: readonly CountedBefore[];
}

/**
 * That share of the live proxies, rounded up: at least one, and never all.
 * @throws CANARY_TOO_FEW_PROXIES with fewer than two
 */
export function chooseCanaries(fleet: readonly ProxyView[], tenant: string, share: number): Chosen {
  const able = fleet.filter(
    ({ status, report }) => status === 'live' && report.phase === undefined,
  );
  if (able.length < 2) throw tooFew(able.length);
  const wanted = Math.ceil(able.length * share);
  const count = Math.min(Math.max(1, wanted), able.length - 1, CANARY_PROXIES_MAX);
  const ranked = able
    .map((view) => ({ view, rank: rankOf(tenant, view.id) }))
    .toSorted((a, b) => (a.rank < b.rank ? -1 : 1))
    .map(({ view }) => view);
  return {
    proxies: ranked
      .slice(0, count)
      .map(({ id }) => id)
      .sort(),
    before: ranked
      .slice(0, Math.min(2 * count + CANARY_PROXIES_MAX, COUNTED_BEFORE_MAX))
      .map(({ report }) => countedBefore(report, tenant)),
  };
}

/** What its report counts of the tenant; no counts where those did not fit into the report. */
export function countsOf(
  { tenants = [], tenantsOmitted }: ProxyReport,
  tenant: string,
): { readonly queries: number; readonly errors: number } | undefined {
  const key = tenantKey(tenant);
  const own = tenants.find((activity) => tenantKey(activity.tenant) === key);
  if (own !== undefined) {
    return { queries: own.queries, errors: own.serverErrors + own.proxyErrors };
  }
  return tenantsOmitted === undefined ? { queries: 0, errors: 0 } : undefined;
}

function countedBefore(report: ProxyReport, tenant: string): CountedBefore {
  const { proxy, startedAt } = report;
  return { proxy, startedAt, ...countsOf(report, tenant) };
}

function rankOf(tenant: string, proxy: ProxyId): string {
  return createHash('sha256')
    .update(`${tenantKey(tenant)}\n${proxy}`)
    .digest('hex');
}

function tooFew(live: number): Error {
  const them = live === 0 ? 'No proxy is live' : 'One proxy is live';
  return controlErrors.fail(
    'CANARY_TOO_FEW_PROXIES',
    `${them}; a canary needs 2 at least, one that tries the change and one that does not.`,
    { hint: 'Make the change without canary, or start another proxy.' },
  );
}
