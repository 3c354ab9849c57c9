/**
 * What the proxies last said of themselves, in plain data. No I/O: reports and time are passed in.
 * Leaves: what they say of one tenant to tenant-parts.ts, of the config to convergence.ts.
 */
import { REPORT_INTERVAL_MS } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { addPools, NO_CONNECTIONS, partsOf, sumOf } from './tenant-parts.ts';
import type { ConnectionTotals, TenantPart, TenantSums, WantedTenant } from './tenant-parts.ts';

export type { ConnectionTotals, TenantSums, WantedTenant } from './tenant-parts.ts';

export const FLEET_LIMITS = Object.freeze({
  /**
   * Unless `proxy_lost_after` says otherwise, a proxy that says nothing for so long counts as lost:
   * it missed five reports.
   */
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

/** What one proxy says of a tenant, if it says anything. */
export interface TenantOnProxy {
  readonly proxy: ProxyView;
  readonly part: TenantPart | undefined;
}

/** On how many of the live proxies something is so. */
export interface Progress {
  readonly reached: number;
  readonly live: number;
}

export interface FleetReader {
  /** Every proxy heard of lately, ordered by id. */
  proxies(): readonly ProxyView[];
  /** Nothing when it was not heard of lately. */
  proxy(id: string): ProxyView | undefined;
  /** Of one tenant; zeros when no live proxy has a pool of it. */
  tenantTotals(id: string): ConnectionTotals;
  /** Of every tenant with a pool, by tenant key. */
  totalsByTenant(): ReadonlyMap<string, ConnectionTotals>;
  /** A tenant on every proxy heard of lately, ordered by id. */
  tenantOnProxies(id: string): readonly TenantOnProxy[];
  /** Of one tenant, over all live proxies. */
  tenantSums(id: string): TenantSums;
  /** Where the tenant's last change holds; its pause or drain counts when it is complete. */
  progressOf(tenant: WantedTenant): Progress;
  /** Live proxies that have not applied `position` yet. */
  lagging(position: Position): readonly ProxyId[];
  /** Calls `listener` after each report, until the returned function is called. */
  onReport(listener: () => void): () => void;
}

class Heard {
  readonly report: ProxyReport;
  readonly atMs: number;
  #parts: ReadonlyMap<string, TenantPart> | undefined;

  constructor(report: ProxyReport, atMs: number) {
    this.report = report;
    this.atMs = atMs;
  }

  /** By `tenantKey`; sorted only when somebody asks, since most reports are never asked. */
  get parts(): ReadonlyMap<string, TenantPart> {
    return (this.#parts ??= partsOf(this.report));
  }
}

export class FleetState implements FleetReader {
  readonly #nowMs: () => number;
  readonly #lostAfterMs: number;
  readonly #heard = new Map<ProxyId, Heard>();
  readonly #listeners = new Set<() => void>();

  /** @param nowMs monotonic milliseconds, as `Clock.nowMs`. */
  constructor(nowMs: () => number, lostAfterMs: number = FLEET_LIMITS.lostAfterMs) {
    this.#nowMs = nowMs;
    this.#lostAfterMs = lostAfterMs;
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
      this.#heard.set(report.proxy, new Heard(report, this.#nowMs()));
    }
    for (const listener of this.#listeners) listener();
    return 'taken';
  }

  proxies(): readonly ProxyView[] {
    return this.#sorted().map(([id, heard]) => this.#view(id, heard));
  }

  proxy(id: string): ProxyView | undefined {
    return this.proxies().find((view) => view.id === id);
  }

  tenantTotals(id: string): ConnectionTotals {
    const pools = this.#liveParts(id).flatMap((part) => part.pools);
    return addPools(NO_CONNECTIONS, pools);
  }

  totalsByTenant(): ReadonlyMap<string, ConnectionTotals> {
    const totals = new Map<string, ConnectionTotals>();
    for (const { parts } of this.#live()) {
      for (const [key, { pools }] of parts) {
        if (pools.length > 0) totals.set(key, addPools(totals.get(key) ?? NO_CONNECTIONS, pools));
      }
    }
    return totals;
  }

  tenantOnProxies(id: string): readonly TenantOnProxy[] {
    const key = tenantKey(id);
    return this.#sorted().map(([proxy, heard]) => ({
      proxy: this.#view(proxy, heard),
      part: heard.parts.get(key),
    }));
  }

  tenantSums(id: string): TenantSums {
    return sumOf(this.#liveParts(id));
  }

  progressOf({ id, state, position }: WantedTenant): Progress {
    const key = tenantKey(id);
    const live = this.#live();
    const reached = live.filter(({ report, parts }) => {
      if (report.appliedPosition < position) return false;
      if (state === 'active') return true;
      return parts.get(key)?.halted?.state === (state === 'paused' ? 'paused' : 'drained');
    });
    return { reached: reached.length, live: live.length };
  }

  lagging(position: Position): readonly ProxyId[] {
    return this.proxies()
      .filter(({ status, report }) => status === 'live' && report.appliedPosition < position)
      .map(({ id }) => id);
  }

  onReport(listener: () => void): () => void {
    const own = () => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  #live(): readonly Heard[] {
    const nowMs = this.#nowMs();
    return [...this.#heard.values()].filter(({ atMs }) => nowMs - atMs < this.#lostAfterMs);
  }

  #liveParts(id: string): readonly TenantPart[] {
    const key = tenantKey(id);
    return this.#live().flatMap(({ parts }) => parts.get(key) ?? []);
  }

  #sorted(): readonly (readonly [ProxyId, Heard])[] {
    this.#forget();
    return [...this.#heard].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  #view(id: ProxyId, { report, atMs }: Heard): ProxyView {
    const silentMs = this.#nowMs() - atMs;
    return { id, status: silentMs < this.#lostAfterMs ? 'live' : 'lost', silentMs, report };
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
