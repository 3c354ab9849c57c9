/**
 * What is known of a canary, out of the reports of the fleet and what was counted when it began.
 * Pure. Leaves: what follows from it to judge.ts.
 */
import type { Canary } from '@dbbouncer/shared/contract/routing-config.ts';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { CountedBefore } from '../domain/tenant/events.ts';
import type { ProxyView } from '../fleet/fleet-state.ts';
import { countsOf } from './choose.ts';
import { sum } from './judge.ts';
import type { Evidence, ProxyEvidence } from './judge.ts';

/** A canary as its first event tells it. */
export interface RunningCanary {
  readonly tenant: string;
  readonly canary: Canary;
  readonly before: readonly CountedBefore[];
  /** Proxies that are there have been told of it. */
  readonly position: Position;
}

export interface Moment {
  readonly fleet: readonly ProxyView[];
  readonly elapsedMs: number;
  /** For how long this control plane has listened to proxies. */
  readonly heardForMs: number;
  /** How long a proxy may say nothing. */
  readonly lostAfterMs: number;
}

export function evidenceOf(running: RunningCanary, moment: Moment): Evidence {
  const { canary, before } = running;
  const chosen = new Set<string>(canary.proxies);
  const views = new Map(moment.fleet.map((view) => [view.id as string, view] as const));
  const others = moment.fleet.filter(({ id, status }) => !chosen.has(id) && status === 'live');
  return {
    elapsedMs: moment.elapsedMs,
    promoteAfterMs: canary.promoteAfterMs,
    canaries: canary.proxies.map((id) => evidenceOn(running, id, views.get(id), moment)),
    others: others.map((view) => evidenceOn(running, view.id, view, moment)),
    before: sum(before.map(({ queries = 0, errors = 0 }) => ({ queries, errors }))),
  };
}

function evidenceOn(
  running: RunningCanary,
  proxy: string,
  view: ProxyView | undefined,
  { heardForMs, lostAfterMs }: Moment,
): ProxyEvidence {
  const nothing = {
    proxy,
    serving: 'told',
    problem: undefined,
    dial: 'unknown',
    queries: 0,
    errors: 0,
  } as const;
  // A control plane that starts, or was cut off, gives proxies the time to speak up.
  const isSilent = view === undefined || view.status === 'lost';
  if (isSilent && heardForMs < lostAfterMs) return { ...nothing, life: 'unknown' };
  if (view === undefined) return { ...nothing, life: 'lost', problem: 'it has ended' };
  const { report, status } = view;
  const known = running.before.find((one) => one.proxy === proxy);
  if (status === 'lost') return { ...nothing, life: 'lost', problem: 'it is silent' };
  if (known !== undefined && known.startedAt !== report.startedAt) {
    return { ...nothing, life: 'lost', problem: 'it was started anew' };
  }
  const serving = servingOf(report, running.position);
  const { dial, error } = dialOf(report, running.tenant);
  return {
    ...nothing,
    life: 'live',
    serving,
    problem: serving === 'rejected' ? report.rejected?.reason : error,
    dial: serving === 'applied' ? dial : 'unknown',
    ...since(known, report, running.tenant),
  };
}

function servingOf(report: ProxyReport, position: Position): ProxyEvidence['serving'] {
  if (report.appliedPosition >= position) return 'applied';
  return report.rejected !== undefined && report.rejected.position >= position
    ? 'rejected'
    : 'told';
}

/** By the pools that clients are given now; one that drains is of before. */
function dialOf(
  { pools }: ProxyReport,
  tenant: string,
): { readonly dial: ProxyEvidence['dial']; readonly error?: string | undefined } {
  const key = tenantKey(tenant);
  const own = pools.filter((pool) => tenantKey(pool.tenant) === key && pool.state !== 'draining');
  const failing = own.find((pool) => pool.failing !== undefined);
  const isConnected = own.some(({ active, idle }) => active + idle > 0);
  if (failing !== undefined && !isConnected) return { dial: 'failing', error: failing.failing };
  return { dial: isConnected && failing === undefined ? 'connected' : 'unknown' };
}

/** Nothing where either count is not known. */
function since(known: CountedBefore | undefined, report: ProxyReport, tenant: string) {
  const now = countsOf(report, tenant);
  // A proxy that came later has counted nothing of the time before.
  const then = known ?? { queries: 0, errors: 0 };
  if (now === undefined || then.queries === undefined || then.errors === undefined) return {};
  return {
    queries: Math.max(0, now.queries - then.queries),
    errors: Math.max(0, now.errors - then.errors),
  };
}
