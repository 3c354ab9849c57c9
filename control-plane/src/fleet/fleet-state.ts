/**
 * What the proxies last said of themselves, in plain data. No I/O: reports and time are passed in.
 */
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';

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

export interface FleetReader {
  /** Every proxy heard of lately, ordered by id. */
  proxies(): readonly ProxyView[];
  /** Of one tenant; zeros when no live proxy has a pool of it. */
  tenantTotals(id: string): ConnectionTotals;
  /** Of every tenant with a pool, by tenant key. */
  totalsByTenant(): ReadonlyMap<string, ConnectionTotals>;
  /** Live proxies that have not applied `position` yet. */
  lagging(position: Position): readonly ProxyId[];
  /** Calls `listener` after each report, until the returned function is called. */
  onReport(listener: () => void): () => void;
}
