/** The fleet as its proxies last told it. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { PoolReport, ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { followPromises, ManualClock } from '../../../tests/support/manual-clock.ts';
import { FLEET_LIMITS, FleetState } from './fleet-state.ts';
import { listenForReports } from './report-listener.ts';

function pool(tenant: string, [active, idle, total, waiting]: readonly number[]): PoolReport {
  return {
    tenant,
    protocol: 'postgres',
    database: 'd',
    user: 'u',
    active: active ?? 0,
    idle: idle ?? 0,
    total: total ?? 0,
    waiting: waiting ?? 0,
    longestWaitMs: 0,
  };
}

function report(proxy: string, appliedPosition = 0, ...pools: readonly PoolReport[]): ProxyReport {
  return {
    proxy: proxy as ProxyId,
    version: '0.1.0',
    startedAt: '2026-01-01T00:00:00.000Z',
    sentAt: '2026-01-01T00:00:00.000Z',
    epoch: 1,
    appliedPosition,
    clients: 0,
    pools: [...pools],
  };
}

describe('FleetState', () => {
  let clock: ManualClock;
  let fleet: FleetState;
  beforeEach(() => {
    clock = new ManualClock();
    fleet = new FleetState(() => clock.nowMs());
  });

  it('knows the latest report of each proxy, ordered by id', async () => {
    fleet.receive(report('p2', 1));
    fleet.receive(report('p1', 1));
    await clock.pass(1_000);
    fleet.receive(report('p2', 5));
    assert.deepEqual(
      fleet.proxies().map((proxy) => [proxy.id, proxy.silentMs, proxy.report.appliedPosition]),
      [
        ['p1', 1_000, 1],
        ['p2', 0, 5],
      ],
    );
  });

  it('counts a proxy as lost after 5 s of silence, until it is heard again', async () => {
    fleet.receive(report('p1'));
    await clock.pass(4_999);
    assert.equal(fleet.proxies()[0]?.status, 'live');
    await clock.pass(1);
    assert.equal(fleet.proxies()[0]?.status, 'lost');
    fleet.receive(report('p1'));
    assert.equal(fleet.proxies()[0]?.status, 'live');
  });

  it('forgets a proxy after an hour of silence', async () => {
    fleet.receive(report('p1'));
    await clock.pass(FLEET_LIMITS.forgottenAfterMs);
    assert.equal(fleet.proxies().length, 1);
    await clock.pass(1);
    assert.equal(fleet.proxies().length, 0);
  });

  it('sums connections per tenant over live proxies, ignoring the case of ids', async () => {
    fleet.receive(report('lost', 0, pool('acme', [9, 9, 9, 9])));
    await clock.pass(FLEET_LIMITS.lostAfterMs);
    fleet.receive(report('p1', 0, pool('acme', [1, 2, 4, 3]), pool('other', [1, 0, 1, 0])));
    fleet.receive(report('p2', 0, pool('Acme', [1, 0, 1, 0]), pool('acme', [0, 1, 1, 0])));
    const acme = { active: 2, idle: 3, total: 6, waiting: 3 };
    assert.deepEqual(fleet.tenantTotals('ACME'), acme);
    assert.deepEqual(fleet.totalsByTenant().get('acme'), acme);
    assert.equal(fleet.totalsByTenant().size, 2);
    assert.deepEqual(fleet.tenantTotals('none'), { active: 0, idle: 0, total: 0, waiting: 0 });
  });

  it('names live proxies that have not applied a position', async () => {
    fleet.receive(report('lost', 1));
    await clock.pass(FLEET_LIMITS.lostAfterMs);
    fleet.receive(report('behind', 6));
    fleet.receive(report('there', 7));
    fleet.receive(report('ahead', 8));
    assert.deepEqual(fleet.lagging(7), ['behind']);
  });

  it('forgets a proxy at once that says it has stopped, and tells listeners', () => {
    fleet.receive(report('p1'));
    let told = 0;
    fleet.onReport(() => (told += 1));
    fleet.receive({ ...report('p1'), phase: 'draining' });
    assert.equal(fleet.proxies()[0]?.status, 'live');
    assert.equal(fleet.receive({ ...report('p1'), phase: 'stopped' }), 'taken');
    assert.deepEqual([fleet.proxies(), told], [[], 2]);
  });

  it('tells listeners of each report until they leave', () => {
    let told = 0;
    const leave = fleet.onReport(() => (told += 1));
    fleet.receive(report('p1'));
    leave();
    fleet.receive(report('p1'));
    assert.equal(told, 1);
  });

  it('refuses the 1001st live proxy, and takes it in place of a lost one', async () => {
    fleet.receive(report('old'));
    await clock.pass(1);
    for (let i = 1; i < FLEET_LIMITS.proxiesMax; i++) fleet.receive(report(`p${i}`));
    assert.equal(fleet.receive(report('new')), 'fleet_full');
    assert.equal(fleet.receive(report('p7')), 'taken');
    await clock.pass(FLEET_LIMITS.lostAfterMs - 1);
    assert.equal(fleet.receive(report('new')), 'taken');
    const ids = new Set(fleet.proxies().map((proxy) => String(proxy.id)));
    assert.equal(ids.size, FLEET_LIMITS.proxiesMax);
    assert.ok(ids.has('new') && !ids.has('old'));
  });
});

describe('listenForReports', () => {
  it('takes reports of other versions with what it knows of them', async (t) => {
    const bus = createMemoryBus();
    t.after(() => bus.close());
    const fleet = new FleetState(() => 0);
    listenForReports(bus, fleet, silentLogger);
    const first = { ...report('old', 3, pool('acme', [1])) };
    const later = {
      ...report('new', 4),
      pools: [{ ...pool('acme', [1]), later: 1 }],
      vitals: { cpuShare: 0, rssBytes: 1, heapUsedBytes: 1, loopDelayP50Ms: 0 },
      halted: [{ tenant: 'a', state: 'paused', clients: 0, connections: 0, later: {} }],
      later: [],
    };
    const vitals = { ...later.vitals, loopDelayP99Ms: 0, loopDelayMaxMs: 0, later: 0 };
    for (const one of [first, { ...later, vitals }]) {
      bus.publish(`dbbouncer.report.${one.proxy}`, Buffer.from(JSON.stringify(one)));
    }
    await followPromises();
    const [newer, older] = fleet.proxies();
    assert.deepEqual(older?.report, first);
    assert.deepEqual(newer?.report.pools, [pool('acme', [1])]);
    assert.equal(JSON.stringify(newer).includes('later'), false);
  });

  it('takes valid reports from the subject of their proxy and drops everything else', async (t) => {
    const bus = createMemoryBus();
    t.after(() => bus.close());
    const fleet = new FleetState(() => 0);
    const subscription = listenForReports(bus, fleet, silentLogger);
    const send = (subject: string, text: string) => bus.publish(subject, Buffer.from(text));

    send('dbbouncer.report.p1', JSON.stringify(report('p1', 3)));
    send('dbbouncer.report.p2', JSON.stringify(report('p3')));
    send('dbbouncer.report.p4', JSON.stringify({ ...report('p4'), clients: -1 }));
    send('dbbouncer.report.p5', 'not json');
    await followPromises();
    assert.deepEqual(
      fleet.proxies().map((proxy) => [proxy.id, proxy.report.appliedPosition]),
      [['p1', 3]],
    );

    subscription.close();
    send('dbbouncer.report.p6', JSON.stringify(report('p6')));
    await followPromises();
    assert.equal(fleet.proxies().length, 1);
  });
});
