/**
 * Tells the control plane how this proxy is: every second, and at once when another config is
 * served or refused. Reports are sent at most once each and never waited for: the next one says it
 * all again.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import type {
  HaltedTenant,
  PoolReport,
  ProxyReport,
  ReportedServer,
} from '@dbbouncer/shared/contract/proxy-report.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { PoolTally, ReadPool } from './pool-tally.ts';

/** What the reporter needs to know of the config feed; `ConfigFeed` has it all. */
export interface ReportedFeed {
  readonly status: ReportedStatus;
  onStatus(listener: (status: ReportedStatus) => void): () => void;
}

export interface ReportedStatus {
  readonly epoch: number;
  readonly appliedPosition: Position;
  readonly rejected: { readonly position: Position; readonly reason: string } | undefined;
}

export interface ReporterOptions {
  readonly proxy: ProxyId;
  readonly version: string;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly feed: ReportedFeed;
  readonly pools: PoolTally;
  readonly clients: () => number;
  /** Tenants that are paused or drained, given the pools there are. */
  readonly halted: (pools: readonly ReadPool[]) => HaltedTenant[];
  /** From one report to the next while nothing is news. */
  readonly intervalMs: number;
  /** What database servers have told of their limits, SERVERS_MAX at most. */
  readonly servers: () => readonly ReportedServer[];
}

/** At most 20 reports a second, however fast positions change. */
const REPORT_GAP_MS = 50;
/** Leaves room for HALTED_MAX tenants, SERVERS_MAX servers and the rest in a message of the bus. */
const POOLS_BYTES_MAX = 600_000;
const FAILING_CHARS_MAX = 500;

export class Reporter {
  readonly #options: ReporterOptions;
  readonly #startedAt: string;
  #timer: Timer | undefined;
  #endFeed: (() => void) | undefined;
  #sentMs = Number.NEGATIVE_INFINITY;
  #sentStatus: ReportedStatus | undefined;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#startedAt = options.clock.timestamp();
  }

  /** Sends the first report now. */
  start(): void {
    this.#endFeed = this.#options.feed.onStatus((status) => this.#statusChanged(status));
    this.#send();
  }

  stop(): void {
    this.#endFeed?.();
    this.#timer?.cancel();
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
    bus.publish(SUBJECTS.report(proxy), new TextEncoder().encode(JSON.stringify(report)));
    this.#sendAfter(this.#options.intervalMs);
  }

  #report({ epoch, appliedPosition, rejected }: ReportedStatus): ProxyReport {
    const { proxy, version, clock, clients } = this.#options;
    const all = this.#options.pools.read();
    const { pools, omitted } = fitting(all);
    const halted = this.#options.halted(all);
    const servers = this.#options.servers();
    return {
      proxy,
      version,
      startedAt: this.#startedAt,
      sentAt: clock.timestamp(),
      epoch,
      appliedPosition,
      ...(rejected !== undefined && { rejected }),
      clients: clients(),
      pools,
      ...(omitted > 0 && { poolsOmitted: omitted }),
      ...(servers.length > 0 && { servers: [...servers] }),
      ...(halted.length > 0 && { halted }),
    };
  }
}

/** As many pools as a message holds, those that somebody has to look at first. */
function fitting(all: readonly ReadPool[]): { pools: PoolReport[]; omitted: number } {
  const pools: PoolReport[] = [];
  let bytes = 0;
  for (const pool of all.toSorted((a, b) => urgency(b) - urgency(a))) {
    const report = poolReport(pool);
    bytes += Buffer.byteLength(JSON.stringify(report)) + 1;
    if (bytes > POOLS_BYTES_MAX) break;
    pools.push(report);
  }
  return { pools, omitted: all.length - pools.length };
}

function urgency({ reading }: ReadPool): number {
  if (reading.failing !== undefined) return 3;
  if (reading.waiting > 0) return 2;
  return reading.active > 0 ? 1 : 0;
}

function poolReport({ identity, reading }: ReadPool): PoolReport {
  const { tenant, protocol, database, user } = identity;
  const { state, active, idle, total, waiting, longestWaitMs, failing } = reading;
  return {
    tenant,
    protocol,
    database,
    user,
    ...(state !== 'open' && { state }),
    active,
    idle,
    total,
    waiting,
    longestWaitMs,
    ...(failing !== undefined && { failing: failing.slice(0, FAILING_CHARS_MAX) }),
  };
}
