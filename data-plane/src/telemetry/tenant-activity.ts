/**
 * What reports say of the clients of each tenant, read where sessions have counted it.
 * Owns: what counts as recent. Leaves: counting to session-tally.ts, what fits a message to
 * report-room.ts.
 */
import type { ActivityCounts, TenantActivity } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { TenantTally } from './session-tally.ts';

/** Times are of the last one to two of these. */
const RECENT_MS = 30_000;

export interface ReadActivity {
  readonly totals: ActivityCounts;
  /** Those with traffic lately first, those with the most queries of these. */
  readonly tenants: readonly TenantTally[];
}

export class ActivityReader {
  readonly #sessions: { readonly tenants: Iterable<TenantTally> };
  readonly #clock: Clock;
  #turnedMs: number;

  constructor(sessions: { readonly tenants: Iterable<TenantTally> }, clock: Clock) {
    this.#sessions = sessions;
    this.#clock = clock;
    this.#turnedMs = clock.nowMs();
  }

  read(): ReadActivity {
    this.#turn();
    const totals = { queries: 0, transactions: 0, serverErrors: 0, proxyErrors: 0, pins: 0 };
    const ranked: { readonly tally: TenantTally; readonly rank: number }[] = [];
    for (const tally of this.#sessions.tenants) {
      const counts = countsOf(tally);
      for (const name of NAMES) totals[name] += counts[name];
      const isRecent = !tally.queries.recent.isEmpty || !tally.acquires.recent.isEmpty;
      if (NAMES.some((name) => counts[name] > 0)) {
        ranked.push({ tally, rank: isRecent ? 1 + counts.queries : 0 });
      }
    }
    ranked.sort((a, b) => b.rank - a.rank);
    return { totals, tenants: ranked.map(({ tally }) => tally) };
  }

  #turn(): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#turnedMs < RECENT_MS) return;
    this.#turnedMs = nowMs;
    for (const { queries, acquires } of this.#sessions.tenants) {
      queries.recent.turn();
      acquires.recent.turn();
    }
  }
}

const NAMES = ['queries', 'transactions', 'serverErrors', 'proxyErrors', 'pins'] as const;

export function activityOf(tally: TenantTally): TenantActivity {
  const { queries, acquires } = tally;
  return {
    tenant: tally.tenant,
    ...countsOf(tally),
    ...(!queries.recent.isEmpty && { queryTimes: [...queries.recent.read()] }),
    ...(!acquires.recent.isEmpty && { acquireTimes: [...acquires.recent.read()] }),
  };
}

function countsOf({ queries, acquires, sharedBatches, errors, pins }: TenantTally): ActivityCounts {
  return {
    queries: queries.count,
    transactions: acquires.count + sharedBatches,
    serverErrors: errors.server,
    proxyErrors: errors.proxy,
    pins,
  };
}
