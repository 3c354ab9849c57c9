/**
 * What the proxies last said of themselves, in plain data. No I/O: reports and time are passed in.
 */
import { REPORT_INTERVAL_MS } from '@dbbouncer/shared/contract/proxy-report.ts';
import type {
  HaltedTenant,
  PoolReport,
  ProxyReport,
} from '@dbbouncer/shared/contract/proxy-report.ts';
import type { TenantTraffic } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';

export const FLEET_LIMITS = Object.freeze({
  /** A proxy that says nothing for so long counts as lost: it missed five reports. */
  lostAfterMs: 5 * REPORT_INTERVAL_MS,
  /** A lost proxy is forgotten after so long. */
  forgottenAfterMs: 60 * 60 * 1000,
  /** Reports of further proxies are refused, unless a lost one can be forgotten for them. */
  proxiesMax: 1_000,
});

export interface ProxyView {
  readonly id: ProxyId;
  /** `lost`: no report for `lostAfterMs`. */
  readonly status: 'live' | 'lost';
  /** Milliseconds since its last report came in. */
  readonly silentMs: number;
  readonly report: ProxyReport;
}

/** Sums over the pools of all live proxies. */
export interface ConnectionTotals {
  readonly active: number;
  readonly idle: number;
  readonly total: number;
  readonly waiting: number;
}

/** A tenant as the control plane has it now. */
export interface WantedTenant {
  readonly id: string;
  readonly state: TenantTraffic;
  /** Of its last change. */
  readonly position: Position;
}

/** On how many of the live proxies something is so. */
export interface Progress {
  readonly reached: number;
  readonly live: number;
}

export interface FleetReader {
  /** Every proxy heard of lately, ordered by id. */
  proxies(): readonly ProxyView[];
  /** Of one tenant; zeros when no live proxy has a pool of it. */
  tenantTotals(id: string): ConnectionTotals;
  /** Of every tenant with a pool, by tenant key. */
  totalsByTenant(): ReadonlyMap<string, ConnectionTotals>;
  /** Where the tenant's last change holds; its pause or drain counts when it is complete. */
  progressOf(tenant: WantedTenant): Progress;
  /** Live proxies that have not applied `position` yet. */
  lagging(position: Position): readonly ProxyId[];
  /** Calls `listener` after each report, until the returned function is called. */
  onReport(listener: () => void): () => void;
}

interface Heard {
  readonly report: ProxyReport;
  readonly atMs: number;
}

const NO_CONNECTIONS: ConnectionTotals = Object.freeze({
  active: 0,
  idle: 0,
  total: 0,
  waiting: 0,
});

export class FleetState implements FleetReader {
  readonly #nowMs: () => number;
  readonly #heard = new Map<ProxyId, Heard>();
  readonly #listeners = new Set<() => void>();

  /** @param nowMs monotonic milliseconds, as `Clock.nowMs`. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /**
   * Takes a proxy's newest report; one that says it has stopped is forgotten. `fleet_full`: it was
   * not taken, `proxiesMax` others are known.
   */
  receive(report: ProxyReport): 'taken' | 'fleet_full' {
    this.#forget();
    const isKnown = this.#heard.delete(report.proxy);
    if (report.phase !== 'stopped') {
      if (!isKnown && !this.#makeRoom()) return 'fleet_full';
      this.#heard.set(report.proxy, { report, atMs: this.#nowMs() });
    }
    for (const listener of this.#listeners) listener();
    return 'taken';
  }

  proxies(): readonly ProxyView[] {
    this.#forget();
    const nowMs = this.#nowMs();
    return [...this.#heard]
      .map(([id, { report, atMs }]) => {
        const silentMs = nowMs - atMs;
        return { id, status: statusAfter(silentMs), silentMs, report };
      })
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  tenantTotals(id: string): ConnectionTotals {
    return this.totalsByTenant().get(tenantKey(id)) ?? NO_CONNECTIONS;
  }

  totalsByTenant(): ReadonlyMap<string, ConnectionTotals> {
    const totals = new Map<string, ConnectionTotals>();
    for (const { report } of this.#live()) {
      for (const pool of report.pools) {
        const key = tenantKey(pool.tenant);
        totals.set(key, sum(totals.get(key) ?? NO_CONNECTIONS, pool));
      }
    }
    return totals;
  }

  progressOf({ id, state, position }: WantedTenant): Progress {
    const live = this.#live();
    const reached = live.filter(({ report }) => {
      if (report.appliedPosition < position) return false;
      if (state === 'active') return true;
      const here = haltedIn(report, id)?.state;
      return here === (state === 'paused' ? 'paused' : 'drained');
    });
    return { reached: reached.length, live: live.length };
  }

  lagging(position: Position): readonly ProxyId[] {
    return this.#live()
      .filter(({ report }) => report.appliedPosition < position)
      .map(({ id }) => id);
  }

  onReport(listener: () => void): () => void {
    const own = () => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  #live(): readonly ProxyView[] {
    return this.proxies().filter(({ status }) => status === 'live');
  }

  #forget(): void {
    const oldestMs = this.#nowMs() - FLEET_LIMITS.forgottenAfterMs;
    for (const [id, { atMs }] of this.#heard) if (atMs < oldestMs) this.#heard.delete(id);
  }

  /**
   * Forgets the proxy that has been silent longest when there are too many, but never a live one.
   */
  #makeRoom(): boolean {
    if (this.#heard.size < FLEET_LIMITS.proxiesMax) return true;
    const [silent] = this.proxies().toSorted((a, b) => b.silentMs - a.silentMs);
    if (silent?.status !== 'lost') return false;
    return this.#heard.delete(silent.id);
  }
}

/** What a proxy says about a tenant that it does not serve now. */
export function haltedIn(report: ProxyReport, id: string): HaltedTenant | undefined {
  const key = tenantKey(id);
  return report.halted?.find(({ tenant }) => tenantKey(tenant) === key);
}

function statusAfter(silentMs: number): ProxyView['status'] {
  return silentMs < FLEET_LIMITS.lostAfterMs ? 'live' : 'lost';
}

function sum(totals: ConnectionTotals, pool: PoolReport): ConnectionTotals {
  return {
    active: totals.active + pool.active,
    idle: totals.idle + pool.idle,
    total: totals.total + pool.total,
    waiting: totals.waiting + pool.waiting,
  };
}
