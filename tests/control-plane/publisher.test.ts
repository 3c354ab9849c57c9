/**
 * What proxies and other control planes are told over the bus, whatever happens to the bus and to
 * this process.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { DATABASE_FILE, openCore } from '@dbbouncer/control-plane/core.ts';
import type { ControlPlaneCore } from '@dbbouncer/control-plane/core.ts';
import { handleCommand } from '@dbbouncer/control-plane/commands/handle-command.ts';
import { lastEventIn } from '@dbbouncer/control-plane/publish/event-message.ts';
import { applyDelta, DELTA_LIMITS, encodeDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import { decodeSnapshotAnswer } from '@dbbouncer/shared/contract/config-snapshot.ts';
import { CONFIG_LOG, SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { createPinoLogger } from '@dbbouncer/shared/logging/pino-logger.ts';
import {
  META,
  openStore,
  register,
  registerAll,
  temporaryDirectory,
  until,
  update,
} from './core-harness.ts';
import {
  assertProxyIsUpToDate,
  configOfProxy,
  deltasOn,
  EVENT_LOG,
  messagesOn,
  published,
  snapshotOn,
  stepsOn,
} from './published.ts';
import { UnreliableBus } from './unreliable-bus.ts';

interface Bench {
  readonly bus: UnreliableBus;
  readonly dataDir: string;
  /** Starts a control plane on the data directory and the bus. */
  readonly start: () => ControlPlaneCore;
}

function bench(t: TestContext, bus = new UnreliableBus(), log = silentLogger): Bench {
  const dataDir = temporaryDirectory(t);
  t.after(() => bus.close());
  const start = () => {
    const core = openCore({ dataDir, bus, clock: systemClock, log });
    t.after(() => core.close());
    return core;
  };
  return { bus, dataDir, start };
}

describe('publishing', () => {
  it('tells proxies each change as a delta that follows the one before', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    await core.commands.handle(register('acme'), META);
    await published(core);
    await core.commands.handle(update('acme', { port: 6_000 }), META);
    await published(core);
    const deltas = await deltasOn(bus);
    assert.deepEqual(
      deltas.map(({ epoch, from, to, changes }) => [epoch, from, to, changes.length]),
      [
        [1, 0, 1, 1],
        [1, 1, 2, 1],
      ],
    );
    await assertProxyIsUpToDate(bus, core);
  });

  it('tells nothing about who changed something and why', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    const meta = { actor: 'the-actor', reason: 'the-reason', requestId: 'the-request' };
    await core.commands.handle(register('acme'), meta);
    await published(core);
    assert.doesNotMatch(JSON.stringify(await deltasOn(bus)), /the-(actor|reason|request)|hash/i);
  });

  it('puts a burst of 500 changes into at most 5 deltas', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    await published(core);
    await registerAll(core, ...Array.from({ length: 500 }, (_, i) => `t${i}`));
    await published(core);
    const steps = await stepsOn(bus);
    assert.ok(steps.length <= 5, JSON.stringify(steps));
    await assertProxyIsUpToDate(bus, core);
  });

  it('splits a batch that is too large for the bus', async (t) => {
    const { bus, dataDir, start } = bench(t);
    const before = start();
    await registerAll(before, 'first');
    await published(before);
    await before.close();
    const store = openStore(join(dataDir, DATABASE_FILE));
    store.atomically(() => {
      for (let i = 0; i < 450; i++) {
        const { tenant, ...command } = register(`t${i}`);
        const password = { kind: 'file', path: `/${'x'.repeat(4_000)}` } as const;
        handleCommand(store, { ...command, tenant: { ...tenant, password } }, META);
      }
    });
    store.close();
    const core = start();
    await published(core);
    const sizes = (await messagesOn(bus, CONFIG_LOG)).map((data) => data.byteLength);
    assert.ok(sizes.length > 2, JSON.stringify(sizes));
    assert.ok(Math.max(...sizes) <= DELTA_LIMITS.bytesMax, JSON.stringify(sizes));
    await assertProxyIsUpToDate(bus, core);
  });

  it('copies every event as it is stored', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    await registerAll(core, 'a', 'b');
    await core.commands.handle(update('a', { port: 1 }), META);
    await published(core);
    const copies = (await messagesOn(bus, EVENT_LOG)).map(lastEventIn);
    assert.deepEqual(copies, [...core.events.readAll(0)]);
  });

  it('keeps events off the bus when the event stream is off', async (t) => {
    const bus = new UnreliableBus();
    const options = { dataDir: temporaryDirectory(t), bus, clock: systemClock, log: silentLogger };
    const core = openCore({ ...options, eventStream: 'off' });
    t.after(() => core.close());
    await core.commands.handle(register('acme'), META);
    await until('the delta is out', () => core.status().publishedPosition === 1);
    assert.deepEqual(core.status().events, { phase: 'off', position: 0 });
    assert.deepEqual(await messagesOn(bus, EVENT_LOG), []);
  });
});

describe('a restart of the control plane', () => {
  it('publishes what was appended but not yet published', async (t) => {
    const { bus, dataDir, start } = bench(t);
    const before = start();
    await registerAll(before, 'a', 'b');
    await published(before);
    await before.close();
    const store = openStore(join(dataDir, DATABASE_FILE));
    handleCommand(store, register('c'), META);
    handleCommand(store, update('a', { port: 1 }), META);
    store.close();

    const core = start();
    await published(core);
    assert.deepEqual(await stepsOn(bus), [
      [0, 2],
      [2, 4],
    ]);
    await assertProxyIsUpToDate(bus, core);
  });

  it('publishes nothing twice when it ended between publishing and its checkpoint', async (t) => {
    const { bus, dataDir, start } = bench(t);
    const before = start();
    await registerAll(before, 'a', 'b');
    await published(before);
    await before.close();
    const store = openStore(join(dataDir, DATABASE_FILE));
    for (const name of ['publish/deltas', 'publish/events']) {
      assert.equal(store.checkpoint(name), 2);
      store.saveCheckpoint(name, 0);
    }
    store.close();

    const core = start();
    await registerAll(core, 'c');
    await published(core);
    assert.deepEqual(await stepsOn(bus), [
      [0, 2],
      [2, 3],
    ]);
    assert.equal((await messagesOn(bus, EVENT_LOG)).length, 3);
    await assertProxyIsUpToDate(bus, core);
  });

  it('does not write a snapshot that is up to date again', async (t) => {
    const { bus, start } = bench(t);
    const before = start();
    await until('a snapshot', () => before.status().snapshotPosition === 0);
    await before.close();
    const objects = bus.objects(SUBJECTS.snapshotBucket);
    // The same snapshot, in bytes that this control plane would not write.
    const written = (await objects.get(SUBJECTS.snapshotObject)) ?? Buffer.alloc(0);
    const held = Buffer.concat([written, Buffer.from(' ')]);
    await objects.put(SUBJECTS.snapshotObject, held);
    const core = start();
    await until('it is known', () => core.status().snapshotPosition === 0);
    assert.ok(held.equals((await objects.get(SUBJECTS.snapshotObject)) ?? written));
  });

  it('replaces a snapshot that is out of date or unreadable', async (t) => {
    const { bus, start } = bench(t);
    const before = start();
    await registerAll(before, 'a');
    await published(before);
    await before.close();
    const objects = bus.objects(SUBJECTS.snapshotBucket);
    await objects.put(SUBJECTS.snapshotObject, Buffer.from('{}'));
    start();
    await until('a snapshot at 1', async () => {
      const data = await objects.get(SUBJECTS.snapshotObject);
      return (
        data !== undefined && data.byteLength > 2 && (await snapshotOn(bus))?.config.position === 1
      );
    });
  });
});

describe('a bus that is away', () => {
  it('does not keep changes from being made; they are told when it is back', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    await registerAll(core, 'a');
    await published(core);
    bus.goDown();
    await registerAll(core, 'b');
    await core.commands.handle(update('b', { port: 1 }), META);
    await until('it waits', () => core.status().deltas.phase === 'waiting_for_bus');
    assert.equal(core.status().events.phase, 'waiting_for_bus');
    assert.equal(core.status().publishedPosition, 1);
    bus.comeBack();
    await published(core);
    assert.deepEqual(await stepsOn(bus), [
      [0, 1],
      [1, 3],
    ]);
    await assertProxyIsUpToDate(bus, core);
  });

  it('may not be there at the start, which is no trouble to be warned of', async (t) => {
    const lines: string[] = [];
    const log = createPinoLogger('info', {}, { write: (line) => void lines.push(line) });
    const { bus, start } = bench(t, new UnreliableBus('connecting'), log);
    const core = start();
    await registerAll(core, 'a');
    await until('it waits', () => core.status().deltas.phase === 'waiting_for_bus');
    bus.comeBack();
    await published(core);
    assert.deepEqual(
      lines.filter((line) => !line.includes('"level":"info"')),
      [],
    );
    assert.deepEqual((await stepsOn(bus)).at(-1)?.[1], 1);
    await until('a snapshot', () => core.status().snapshotPosition === 1);
    await assertProxyIsUpToDate(bus, core);
  });

  it('may lose the answer to an append: it is not told twice', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    await published(core);
    for (const id of ['a', 'b', 'c']) {
      bus.loseNextAnswer(CONFIG_LOG.stream);
      bus.loseNextAnswer(EVENT_LOG.stream);
      await registerAll(core, id, `${id}-2`);
      await published(core);
    }
    const positions = (await messagesOn(bus, EVENT_LOG)).map((data) => lastEventIn(data).position);
    assert.deepEqual(positions, [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(await stepsOn(bus), [
      [0, 2],
      [2, 4],
      [4, 6],
    ]);
    await assertProxyIsUpToDate(bus, core);
  });
});

describe('a message that is late', () => {
  it('is the same as its repeat, even when more has changed meanwhile', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    await published(core);
    bus.holdBackNext(CONFIG_LOG.stream);
    bus.holdBackNext(EVENT_LOG.stream);
    await registerAll(core, 'a');
    await until('it waits', () => core.status().deltas.phase === 'waiting_for_bus');
    await registerAll(core, 'b');
    await published(core);
    await bus.deliverHeldBack();
    await registerAll(core, 'c');
    await published(core);
    assert.deepEqual(await stepsOn(bus), [
      [0, 1],
      [1, 2],
      [2, 3],
    ]);
    const copies = await messagesOn(bus, EVENT_LOG);
    assert.deepEqual(
      copies.map((data) => lastEventIn(data).position),
      [1, 2, 3],
    );
  });
});

describe('a bus that lost everything', () => {
  it('gets snapshot and events again, and a mark that shows a proxy behind its gap', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    await registerAll(core, 'a', 'b');
    await published(core);
    const behind = await configOfProxy(bus);
    bus.goDown();
    await registerAll(core, 'c');
    bus.wipe();
    bus.comeBack();
    await published(core);
    await until('a snapshot of the new life', async () => {
      const snapshot = await snapshotOn(bus);
      return snapshot?.logCreatedAt === 'life 2' && snapshot.logSequence === 1;
    });
    const [mark, ...more] = await deltasOn(bus);
    assert.deepEqual([mark, more], [{ epoch: 1, from: 3, to: 3, changes: [] }, []]);
    assert.ok(mark !== undefined);
    assert.equal(applyDelta(behind, mark), 'gap');
    assert.equal(applyDelta(await configOfProxy(bus), mark), 'duplicate');
    const copies = (await messagesOn(bus, EVENT_LOG)).map(lastEventIn);
    assert.deepEqual(copies, [...core.events.readAll(0)]);

    await registerAll(core, 'd');
    await published(core);
    assert.deepEqual(await stepsOn(bus), [
      [3, 3],
      [3, 4],
    ]);
    await assertProxyIsUpToDate(bus, core);
  });

  it('is noticed without a disconnect, by the next change', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    await registerAll(core, 'a');
    await published(core);
    await registerAll(core, 'b');
    await published(core);
    bus.wipe();
    await registerAll(core, 'c');
    await published(core);
    await until('a snapshot of the new life', async () => {
      return (await snapshotOn(bus))?.logCreatedAt === 'life 2';
    });
    await until('all events are there', async () => {
      const copies = (await messagesOn(bus, EVENT_LOG)).map((data) => lastEventIn(data).position);
      return copies.slice(-3).join() === '1,2,3';
    });
    await registerAll(core, 'd');
    await published(core);
    await assertProxyIsUpToDate(bus, core);
  });
});

describe('a bus that lost its newest messages', () => {
  it('is told them again, from where it really is', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    for (const id of ['a', 'b', 'c']) {
      await registerAll(core, id);
      await published(core);
    }
    assert.equal((await stepsOn(bus)).length, 3);
    bus.goDown();
    await bus.loseTail(CONFIG_LOG, 1);
    bus.comeBack();
    await published(core);
    assert.deepEqual(await stepsOn(bus), [
      [0, 1],
      [1, 3],
    ]);
    await until('a snapshot of the new life', async () => {
      return (await snapshotOn(bus))?.logCreatedAt === 'life 2';
    });
    await assertProxyIsUpToDate(bus, core);
  });
});

describe('a bus with another history', () => {
  const changes = [{ kind: 'tenant_removed' as const, id: register('x').tenant.id }];

  for (const [what, delta, problem] of [
    [
      'positions beyond the event log',
      { epoch: 1, from: 0, to: 9, changes },
      /up to position 9, the event log ends at [01]\./,
    ],
    ['a later term', { epoch: 2, from: 0, to: 1, changes }, /of term 2.*writes term 1/],
  ] as const) {
    it(`stops publishing at ${what}, and says so`, async (t) => {
      const { bus, start } = bench(t);
      await bus.log(CONFIG_LOG).append('foreign', Buffer.from(encodeDelta({ ...delta, changes })));
      const core = start();
      await core.commands.handle(register('a'), META);
      await until('it stopped', () => {
        return core.status().deltas.problem !== undefined;
      });
      assert.equal(core.status().deltas.phase, 'stopped');
      assert.match(core.status().deltas.problem ?? '', problem);
      assert.equal((await stepsOn(bus)).length, 1);
    });
  }

  it('does not mix changes of two databases', async (t) => {
    const first = bench(t);
    const before = first.start();
    await registerAll(before, 'a');
    await published(before);
    await before.close();
    const second = bench(t, first.bus);
    const store = openStore(join(second.dataDir, DATABASE_FILE));
    handleCommand(store, register('b'), META);
    handleCommand(store, register('c'), META);
    store.close();
    const core = second.start();
    await until('it stopped', () => core.status().events.phase === 'stopped');
    assert.match(core.status().events.problem ?? '', /position 1 is another one on the bus/);
    await until('deltas stopped', () => core.status().deltas.phase === 'stopped');
    assert.equal((await messagesOn(first.bus, EVENT_LOG)).length, 1);
    assert.deepEqual(await stepsOn(first.bus), [[0, 1]]);
  });

  it('goes on when an operator has deleted the streams and the bus comes back', async (t) => {
    const { bus, start } = bench(t);
    const delta = { epoch: 1, from: 0, to: 9, changes };
    await bus.log(CONFIG_LOG).append('foreign', Buffer.from(encodeDelta(delta)));
    const core = start();
    await until('it stopped', () => core.status().deltas.phase === 'stopped');
    bus.goDown();
    bus.wipe();
    bus.comeBack();
    await registerAll(core, 'a');
    await published(core);
    assert.equal(core.status().deltas.problem, undefined);
  });
});

describe('a snapshot request', () => {
  it('is answered when the snapshot holds every change there was', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    await published(core);
    for (const id of ['a', 'b', 'c']) {
      await registerAll(core, id);
      await published(core);
      const answer = await bus.request(SUBJECTS.snapshotRequest, new Uint8Array(), 1_000);
      const { position } = decodeSnapshotAnswer(Buffer.from(answer).toString('utf8'));
      const snapshot = await snapshotOn(bus);
      assert.equal(position, core.status().position);
      assert.equal(snapshot?.config.position, position);
      assert.equal(snapshot.logSequence, position);
      assert.ok(snapshot.config.tenants.has(id));
    }
  });
});
