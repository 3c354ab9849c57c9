/** How canaries are followed: taken up, looked at, ended once, and tried again when that fails. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { handleCommand } from '../commands/handle-command.ts';
import type { Command, Commands } from '../commands/commands.ts';
import { sampleTenant } from '../domain/given-when-then.ts';
import { controlErrors } from '../errors.ts';
import { FLEET_LIMITS, FleetState } from '../fleet/fleet-state.ts';
import type { Probed } from '../fleet/probes.ts';
import { History } from '../history/history.ts';
import { projectViews } from '../projections/tenant-views.ts';
import type { EventStore } from '../store/event-store.ts';
import { createMemoryEventStore } from '../store/memory-event-store.ts';
import { CanaryWatch } from './watch.ts';

const id = 'acme' as TenantId;
const META = { actor: 'tester', requestId: 'r' };

let clock: ManualClock;
let store: EventStore;
let fleet: FleetState;
let watch: CanaryWatch;
/** What the event log answers; nothing: it takes what comes. */
let failure: Error | undefined;
let attempts: number;
let role: 'leads' | 'follows';
let probed: Probed;

const unused = () => assert.fail('one command at a time');

function handle(command: Command): void {
  handleCommand(store, command, META);
}

function startWatch(): CanaryWatch {
  const commands = {
    handle: async (command: Command, meta: typeof META) => {
      attempts += 1;
      if (failure !== undefined) throw failure;
      return handleCommand(store, command, meta);
    },
    handleAll: unused,
  } as unknown as Commands;
  const made = new CanaryWatch({
    commands,
    tenants: store,
    history: new History(store),
    fleet,
    probes: { probe: async () => probed },
    lostAfterMs: FLEET_LIMITS.lostAfterMs,
    mayDecide: () => role === 'leads',
    newId: () => 'of the watch',
    clock,
    log: silentLogger,
  });
  made.start();
  return made;
}

function begin(promoteAfterMs = 60_000): void {
  handle({
    kind: 'start_canary',
    change: { kind: 'update_tenant', id, changes: { port: 6_000 } },
    canary: {
      proxies: ['p1' as ProxyId],
      share: 0.5,
      startedAt: clock.timestamp(),
      promoteAfterMs,
    },
    before: [],
  });
}

function report(proxy: string, fields: Partial<ProxyReport> = {}): void {
  const startedAt = '2026-01-01T00:00:00.000Z';
  fleet.receive({
    proxy: proxy as ProxyId,
    version: '1',
    startedAt,
    sentAt: startedAt,
    epoch: 1,
    appliedPosition: 99,
    clients: 0,
    pools: [],
    ...fields,
  });
}

/** Lets time pass, with both proxies reporting each second, or those that are named. */
async function pass(seconds: number, ...proxies: readonly string[]): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    for (const proxy of proxies) report(proxy);
    await clock.pass(1_000);
  }
}

const lastEvent = () => [...store.readStream('tenant/acme')].at(-1);

beforeEach(() => {
  clock = new ManualClock();
  store = createMemoryEventStore({ clock, project: projectViews });
  fleet = new FleetState(() => clock.nowMs());
  failure = undefined;
  attempts = 0;
  role = 'leads';
  probed = { outcome: 'not_probed', reason: 'no_answer', message: 'Nobody.', proxy: undefined };
  handle({ kind: 'register_tenant', origin: 'api', tenant: sampleTenant() });
  watch = startWatch();
});
afterEach(async () => {
  await watch.close();
  assert.equal(clock.pendingTimers, 0, 'nothing is left waiting');
});

describe('CanaryWatch', () => {
  it('decides when the time is over, by what a probe finds where nobody has asked', async () => {
    begin(10_000);
    probed = {
      outcome: 'failed',
      stage: 'tcp',
      message: 'refused',
      tookMs: 1,
      proxy: 'p1' as ProxyId,
    };
    await pass(9, 'p1', 'p2');
    assert.equal(watch.size, 1);
    assert.equal(lastEvent()?.type, 'CanaryStarted');
    await pass(2, 'p1', 'p2');
    const event = lastEvent();
    assert.deepEqual([event?.type, event?.actor], ['CanaryRolledBack', 'system:canary']);
    assert.equal(event?.reason, 'few have used it; a probe failed: refused');
    assert.deepEqual([watch.size, watch.ended], [0, { promoted: 0, rolled_back: 1 }]);
  });

  it('takes up what runs when it starts, and counts the time from its beginning', async () => {
    begin(10_000);
    await watch.close();
    await pass(8, 'p1', 'p2');
    watch = startWatch();
    await pass(1, 'p1', 'p2');
    // The log is read in the background.
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(watch.size, 1);
    await pass(3, 'p1', 'p2');
    assert.equal(lastEvent()?.type, 'CanaryRolledBack');
  });

  it('tries again every 2 s while the event log takes nothing', async () => {
    begin(1_000);
    failure = controlErrors.fail('STORE_READ_ONLY', 'The disk is full.');
    await pass(10, 'p1', 'p2');
    assert.ok(attempts >= 3 && attempts <= 6, `${attempts} attempts`);
    assert.equal(lastEvent()?.type, 'CanaryStarted');
    failure = undefined;
    await pass(4, 'p1', 'p2');
    assert.equal(lastEvent()?.type, 'CanaryRolledBack');
  });

  it('rolls back within 7 s when its canary falls silent and another does not', async () => {
    begin();
    await pass(6, 'p1', 'p2');
    await pass(7, 'p2');
    assert.equal(lastEvent()?.type, 'CanaryRolledBack');
    assert.equal(lastEvent()?.reason, 'canary p1 is gone: it is silent');
  });

  it('leaves the decision to who leads, and decides once it leads itself', async () => {
    begin(1_000);
    role = 'follows';
    await pass(5, 'p1', 'p2');
    assert.deepEqual([attempts, watch.size], [0, 1]);
    role = 'leads';
    await pass(2, 'p1', 'p2');
    assert.equal(lastEvent()?.type, 'CanaryRolledBack');
  });

  it('decides nothing while it hears nobody, and gives who comes back the time to', async () => {
    begin();
    await pass(6, 'p1', 'p2');
    await pass(30);
    assert.equal(lastEvent()?.type, 'CanaryStarted');
    await pass(3, 'p2');
    assert.equal(lastEvent()?.type, 'CanaryStarted');
    await pass(6, 'p1', 'p2');
    assert.equal(lastEvent()?.type, 'CanaryStarted');
  });

  it('knows at once of one that somebody asks about, and forgets one that is over', async () => {
    begin();
    report('p1');
    assert.equal(watch.evidence('ACME')?.canaries.length, 1);
    handle({ kind: 'roll_back_canary', id, cause: 'aborted' });
    await pass(1, 'p1');
    assert.equal(watch.evidence('acme'), undefined);
    assert.equal(attempts, 0);
  });
});
