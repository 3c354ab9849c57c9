/**
 * When a proxy reports and what: every second and at each change, never in a flood, and always
 * within what one message holds.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { BUS_LIMITS } from '@dbbouncer/shared/bus/bus.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import {
  ENDPOINTS_MAX,
  HALTED_MAX,
  proxyReportSchema,
  SERVERS_MAX,
} from '@dbbouncer/shared/contract/proxy-report.ts';
import type {
  EndpointHealth,
  HaltedTenant,
  ProxyReport,
  ReportedServer,
} from '@dbbouncer/shared/contract/proxy-report.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { followPromises, ManualClock } from '../../../tests/support/manual-clock.ts';
import { PoolTally } from './pool-tally.ts';
import { Reporter } from './reporter.ts';
import type { ReportedFeed, ReportedStatus } from './reporter.ts';
import { SessionTally } from './session-tally.ts';
import { ActivityReader } from './tenant-activity.ts';
import { FakePool } from './testing.ts';

class FakeFeed implements ReportedFeed {
  status: ReportedStatus = {
    epoch: 1,
    appliedPosition: 5,
    rejected: undefined,
    rejections: [],
  };
  readonly #listeners = new Set<(status: ReportedStatus) => void>();

  onStatus(listener: (status: ReportedStatus) => void) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  set(changes: Partial<ReportedStatus>): void {
    this.status = { ...this.status, ...changes };
    for (const listener of this.#listeners) listener(this.status);
  }
}

const VITALS = {
  cpuShare: 0.25,
  rssBytes: 1e8,
  heapUsedBytes: 2e7,
  loopDelayP50Ms: 0.1,
  loopDelayP99Ms: 1,
  loopDelayMaxMs: 20,
};
const NOTHING_DONE = { queries: 0, transactions: 0, serverErrors: 0, proxyErrors: 0, pins: 0 };

let bus: Bus;
let clock: ManualClock;
let feed: FakeFeed;
let pools: FakePool[];
let reports: ProxyReport[];
let bytesMax: number;
let halted: HaltedTenant[];
let servers: readonly ReportedServer[];
let endpoints: readonly EndpointHealth[];
let sessions: SessionTally;
let reporter: Reporter;

beforeEach(() => {
  bus = createMemoryBus();
  clock = new ManualClock();
  feed = new FakeFeed();
  pools = [];
  reports = [];
  bytesMax = 0;
  servers = [];
  endpoints = [];
  sessions = new SessionTally();
  halted = [];
  bus.subscribe(SUBJECTS.reports, (data, subject) => {
    assert.equal(subject, 'dbbouncer.report.p-1');
    bytesMax = Math.max(bytesMax, data.byteLength);
    reports.push(proxyReportSchema.parse(JSON.parse(new TextDecoder().decode(data))));
  });
  reporter = new Reporter({
    proxy: 'p-1' as ProxyId,
    version: '1.2.3',
    bus,
    clock,
    feed,
    halted: () => halted,
    servers: () => servers,
    endpoints: () => endpoints,
    vitals: { read: () => VITALS, stop: () => {} },
    activity: new ActivityReader(sessions, clock),
    pools: new PoolTally(() => pools),
    clients: () => 3,
    budget: 'of_fleet',
    intervalMs: 1_000,
  });
  reporter.start();
});
afterEach(async () => {
  reporter.stop();
  await bus.close();
});

/** The bus delivers in a later turn of the event loop. */
async function delivered(): Promise<readonly ProxyReport[]> {
  await followPromises();
  return reports;
}

describe('Reporter', () => {
  it('reports at its start who it is, what it serves and its pools', async () => {
    await delivered();
    reporter.stop();
    await delivered();
    reports = [];
    pools = [new FakePool('acme', { active: 1, idle: 2, total: 3, failing: 'refused' })];
    reporter.start();
    assert.deepEqual(await delivered(), [
      {
        proxy: 'p-1',
        version: '1.2.3',
        startedAt: '2026-01-01T00:00:00.000Z',
        sentAt: '2026-01-01T00:00:00.000Z',
        epoch: 1,
        appliedPosition: 5,
        budget: 'of_fleet',
        clients: 3,
        vitals: VITALS,
        activity: NOTHING_DONE,
        pools: [
          {
            tenant: 'acme',
            protocol: 'postgres',
            database: 'acme_db',
            user: 'app',
            active: 1,
            idle: 2,
            total: 3,
            waiting: 0,
            longestWaitMs: 0,
            failing: 'refused',
          },
        ],
      },
    ]);
  });

  it('reports every second', async () => {
    await clock.pass(3_500);
    assert.equal((await delivered()).length, 4);
  });

  it('reports another position at once, and the next second from then', async () => {
    await clock.pass(400);
    feed.set({ appliedPosition: 6 });
    assert.deepEqual(
      (await delivered()).map((report) => report.appliedPosition),
      [5, 6],
    );
    await clock.pass(999);
    assert.equal((await delivered()).length, 2);
    await clock.pass(1);
    assert.equal((await delivered()).length, 3);
  });

  it('reports a rejection at once, with its reason', async () => {
    await clock.pass(400);
    const rejected = { position: 6, reason: 'bad' };
    const rejections = [{ ...rejected, at: clock.timestamp() }];
    feed.set({ rejected, rejections });
    const report = (await delivered()).at(-1);
    assert.deepEqual([report?.rejected, report?.rejections], [rejected, rejections]);
  });

  it('sends at most 20 reports a second while positions change 1,000 times', async () => {
    for (let position = 6; position < 1_006; position++) {
      await clock.pass(1);
      feed.set({ appliedPosition: position });
    }
    const sent = (await delivered()).length;
    assert(sent > 15 && sent <= 21, `${sent} reports`);
    await clock.pass(50);
    assert.equal((await delivered()).at(-1)?.appliedPosition, 1_005);
  });

  it('stays silent about a status that says the same', async () => {
    await clock.pass(400);
    feed.set({});
    assert.equal((await delivered()).length, 1);
  });

  it('leaves out idle pools first when not all fit a message, and says how many', async () => {
    const failing = 'x'.repeat(10_000);
    const limits = {
      version: '18.4 (some distribution)',
      maxConnections: 100,
      reservedConnections: 3,
    };
    servers = Array.from({ length: SERVERS_MAX }, (_, n) => {
      return { host: `${n}.`.padEnd(60, 'x'), port: 5432, limits };
    });
    endpoints = Array.from({ length: ENDPOINTS_MAX }, (_, n) => ({
      host: `${n}.`.padEnd(60, 'x'),
      port: 5432,
      outcome: 'connected' as const,
      dialedAt: clock.timestamp(),
      dialMs: 1.5,
      consecutiveFailures: 0,
    }));
    for (let n = 0; n < 10_000; n++) {
      const meter = sessions.tenant(`busy-${n}`, 'postgres');
      for (let k = 0; k < 20; k++) meter.queryFinished(0.000_5 * 1.5 ** k);
    }
    halted = Array.from({ length: HALTED_MAX }, (_, n) => {
      return { tenant: `${n}`.padEnd(63, 'x'), state: 'draining', clients: 1e9, connections: 1e9 };
    });
    pools = Array.from({ length: 8_000 }, (_, n) => new FakePool(`tenant-${n}`, { idle: 1 }));
    pools.push(new FakePool('waiting', { waiting: 1 }), new FakePool('down', { failing }));
    await clock.pass(1_000);
    const report = (await delivered()).at(-1);
    assert.deepEqual(
      report?.pools.slice(0, 2).map((pool) => pool.tenant),
      ['down', 'waiting'],
    );
    assert.equal(report.pools.length + (report.poolsOmitted ?? 0), 8_002);
    const { servers: told = [], halted: stopped = [], endpoints: dialed = [] } = report;
    assert.deepEqual(
      [told.length, stopped.length, dialed.length],
      [SERVERS_MAX, HALTED_MAX, ENDPOINTS_MAX],
    );
    assert.equal((report.tenants?.length ?? 0) + (report.tenantsOmitted ?? 0), 10_000);
    assert(bytesMax > 800_000 && bytesMax < BUS_LIMITS.messageBytesMax, `${bytesMax} bytes`);
  });

  it('says at once that it drains, and at its end that it is gone, and then nothing', async () => {
    reporter.drain();
    reporter.stop();
    feed.set({ appliedPosition: 9 });
    await clock.pass(5_000);
    const phases = (await delivered()).map(({ phase }) => phase);
    assert.deepEqual(phases, [undefined, 'draining', 'stopped']);
  });

  it('counts what clients did since the start, and how long it took lately', async () => {
    const acme = sessions.tenant('acme', 'postgres');
    acme.queryFinished(0.002);
    acme.acquired(0);
    acme.sharedBatch(1);
    acme.errorAnswered('server');
    acme.errorAnswered('proxy');
    acme.pinned('load');
    sessions.tenant('idle', 'postgres');
    await clock.pass(1_000);
    const counts = { queries: 1, transactions: 2, serverErrors: 1, proxyErrors: 1, pins: 1 };
    const report = (await delivered()).at(-1);
    assert.deepEqual(report?.activity, counts);
    assert.deepEqual(report.tenants, [
      { tenant: 'acme', ...counts, queryTimes: [39, 1], acquireTimes: [0, 1] },
    ]);

    await clock.pass(29_000);
    acme.queryFinished(0.002);
    await clock.pass(1_000);
    assert.deepEqual((await delivered()).at(-1)?.tenants?.[0]?.queryTimes, [39, 2]);
    await clock.pass(60_000);
    assert.deepEqual((await delivered()).at(-1)?.tenants, [
      { tenant: 'acme', ...counts, queries: 2 },
    ]);
  });

  it('puts tenants with traffic lately first, those with the most queries of these', async () => {
    const ask = (tenant: string, queries: number) => {
      const meter = sessions.tenant(tenant, 'postgres');
      for (let n = 0; n < queries; n++) meter.queryFinished(0.001);
    };
    ask('quiet', 9);
    await clock.pass(61_000);
    ask('little', 1);
    ask('much', 3);
    await clock.pass(1_000);
    assert.deepEqual(
      (await delivered()).at(-1)?.tenants?.map(({ tenant }) => tenant),
      ['much', 'little', 'quiet'],
    );
  });
});
