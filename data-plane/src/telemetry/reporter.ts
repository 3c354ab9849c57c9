/**
 * Tells the control plane how this proxy is: every second, and at once when another config is
 * served or refused, or it begins to drain. Reports are sent at most once each and never waited
 * for: the next one says it all again.
 * Leaves: what of it fits a message to report-room.ts.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import type {
  ActivityCounts,
  EndpointHealth,
  HaltedTenant,
  ProxyReport,
  ReportedServer,
  Vitals,
} from '@dbbouncer/shared/contract/proxy-report.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { PoolTally, ReadPool } from './pool-tally.ts';
import { byUrgency, fitting, poolReport } from './report-room.ts';
import type { Fitting } from './report-room.ts';
import { activityOf } from './tenant-activity.ts';
import type { ReadActivity } from './tenant-activity.ts';

/** What the reporter needs to know of the config feed; `ConfigFeed` has it all. */
export interface ReportedFeed {
  readonly status: ReportedStatus;
  onStatus(listener: (status: ReportedStatus) => void): () => void;
}

export interface ReportedStatus {
  readonly epoch: number;
  readonly appliedPosition: Position;
  readonly rejected: { readonly position: Position; readonly reason: string } | undefined;
  readonly rejections: Readonly<NonNullable<ProxyReport['rejections']>>;
}

export interface ReporterOptions {
  readonly proxy: ProxyId;
  readonly version: string;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly feed: ReportedFeed;
  readonly pools: PoolTally;
  readonly clients: () => number;
  readonly vitals: { read(): Vitals; stop(): void };
  readonly activity: { read(): ReadActivity };
  /** Tenants that are paused or drained, given the pools there are. */
  readonly halted: (pools: readonly ReadPool[]) => HaltedTenant[];
  /** Whose max_connections of a tenant is. */
  readonly budget: 'of_fleet' | 'own';
  /** From one report to the next while nothing is news. */
  readonly intervalMs: number;
  /** What database servers have told of their limits, SERVERS_MAX at most. */
  readonly servers: () => readonly ReportedServer[];
  /** How dials have gone lately, ENDPOINTS_MAX at most. */
  readonly endpoints: () => readonly EndpointHealth[];
}

/** What clients of all tenants did, as it is told. */
interface ToldActivity {
  readonly atMs: number;
  readonly totals: ActivityCounts;
  readonly tenants: Fitting;
}

/** At most 20 reports a second, however fast positions change. */
const REPORT_GAP_MS = 50;

export class Reporter {
  readonly #options: ReporterOptions;
  readonly #startedAt: string;
  #phase: 'new' | 'serving' | 'draining' | 'stopped' = 'new';
  #timer: Timer | undefined;
  #endFeed: (() => void) | undefined;
  #sentMs = Number.NEGATIVE_INFINITY;
  #sentStatus: ReportedStatus | undefined;
  #activity: ToldActivity | undefined;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#startedAt = options.clock.timestamp();
  }

  /** Sends the first report now. */
  start(): void {
    this.#phase = 'serving';
    this.#endFeed = this.#options.feed.onStatus((status) => this.#statusChanged(status));
    this.#send();
  }

  /** The proxy takes no new clients: says so now. */
  drain(): void {
    if (this.#phase !== 'serving') return;
    this.#phase = 'draining';
    this.#send();
  }

  /** Says that the proxy is gone, and then nothing more. */
  stop(): void {
    const hasReported = this.#phase === 'serving' || this.#phase === 'draining';
    this.#phase = 'stopped';
    this.#endFeed?.();
    if (hasReported) this.#send();
    this.#timer?.cancel();
    this.#options.vitals.stop();
  }

  #statusChanged(status: ReportedStatus): void {
    const sent = this.#sentStatus;
    const isNews =
      status.appliedPosition !== sent?.appliedPosition ||
      status.epoch !== sent.epoch ||
      status.rejected !== sent.rejected;
    if (!isNews) return;
    const restMs = this.#sentMs + REPORT_GAP_MS - this.#options.clock.nowMs();
    if (restMs <= 0) this.#send();
    else this.#sendAfter(restMs);
  }

  #sendAfter(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(delayMs, () => this.#send());
  }

  #send(): void {
    const { bus, clock, feed, proxy } = this.#options;
    this.#sentMs = clock.nowMs();
    this.#sentStatus = feed.status;
    const report = this.#report(this.#sentStatus);
    bus.publish(SUBJECTS.report(proxy), new TextEncoder().encode(report));
    this.#sendAfter(this.#options.intervalMs);
  }

  /** As JSON. */
  #report({ epoch, appliedPosition, rejected, rejections }: ReportedStatus): string {
    const { proxy, version, clock, clients, vitals, budget } = this.#options;
    const phase = this.#phase;
    const { totals, tenants } = this.#readActivity();
    const read = this.#options.pools.read();
    const pools = fitting('pools', byUrgency(read), poolReport);
    const head: Omit<ProxyReport, 'pools'> = {
      proxy,
      version,
      startedAt: this.#startedAt,
      sentAt: clock.timestamp(),
      ...((phase === 'draining' || phase === 'stopped') && { phase }),
      epoch,
      appliedPosition,
      ...(budget === 'of_fleet' && { budget }),
      ...(rejected !== undefined && { rejected }),
      ...(rejections.length > 0 && { rejections: [...rejections] }),
      clients: clients(),
      vitals: vitals.read(),
      activity: totals,
      ...(pools.omitted > 0 && { poolsOmitted: pools.omitted }),
      ...(tenants.omitted > 0 && { tenantsOmitted: tenants.omitted }),
    };
    const lists = [
      ...(pools.json.length > 0 ? pools.json : ['"pools":[]']),
      ...tenants.json,
      ...fitting('halted', this.#options.halted(read), asItIs).json,
      ...fitting('servers', this.#options.servers(), asItIs).json,
      ...fitting('endpoints', this.#options.endpoints(), asItIs).json,
    ];
    return `${JSON.stringify(head).slice(0, -1)},${lists.join(',')}}`;
  }

  /** The costliest part of a report, and never news: of those that follow soon it is the same. */
  #readActivity(): ToldActivity {
    const { clock, activity, intervalMs } = this.#options;
    const atMs = clock.nowMs();
    const known = this.#activity;
    if (known !== undefined && atMs - known.atMs < intervalMs / 2) return known;
    const { totals, tenants } = activity.read();
    this.#activity = { atMs, totals, tenants: fitting('tenants', tenants, activityOf) };
    return this.#activity;
  }
}

function asItIs<T>(item: T): T {
  return item;
}
