/**
 * The publishers on a real nats-server that is killed, and that loses all it had.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { openCore } from '@dbbouncer/control-plane/core.ts';
import type { ControlPlaneCore } from '@dbbouncer/control-plane/core.ts';
import { lastEventIn } from '@dbbouncer/control-plane/publish/event-message.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import { decodeSnapshotAnswer } from '@dbbouncer/shared/contract/config-snapshot.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';
import { META, registerAll, temporaryDirectory, until, update } from './core-harness.ts';
import {
  assertProxyIsUpToDate,
  deltasOn,
  EVENT_LOG,
  messagesOn,
  published,
  snapshotOn,
  stepsOn,
} from './published.ts';

describe('publishers on NATS', () => {
  let server: NatsServer;
  before(async () => {
    server = await startNatsServer();
  });
  after(() => server.stop());

  /** A control plane on a server that holds nothing yet. */
  async function start(t: TestContext): Promise<{ core: ControlPlaneCore; bus: Bus }> {
    await server.stop();
    server.wipe();
    await server.start();
    const bus = connectNatsBus({ servers: server.url, name: 'test', reconnectDelayMs: 40 });
    const dataDir = temporaryDirectory(t);
    const core = openCore({ dataDir, bus, clock: systemClock, log: silentLogger });
    t.after(async () => {
      await core.close();
      await bus.close();
    });
    await published(core);
    return { core, bus };
  }

  it('tell changes made while the server was killed, when it is back', async (t) => {
    const { core, bus } = await start(t);
    await registerAll(core, 'a', 'b');
    await published(core);
    await server.kill();
    await registerAll(core, 'c');
    await core.commands.handle(update('a', { port: 6_000 }), META);
    await until('it waits', () => core.status().deltas.phase === 'waiting_for_bus');
    await server.start();
    await published(core);
    // One delta or two, as the server was killed before or during the first of them.
    const steps = await stepsOn(bus);
    assert.deepEqual(steps.at(-1)?.[1], 4);
    for (const [index, [from]] of steps.entries()) {
      assert.equal(from, steps[index - 1]?.[1] ?? 0);
    }
    const copies = (await messagesOn(bus, EVENT_LOG)).map(lastEventIn);
    assert.deepEqual(copies, [...core.events.readAll(0)]);
    await assertProxyIsUpToDate(bus, core);
  });

  it('tell everything again when the server came back empty', async (t) => {
    const { core, bus } = await start(t);
    await registerAll(core, 'a', 'b');
    await published(core);
    const first = await snapshotOn(bus);
    await server.kill();
    server.wipe();
    await registerAll(core, 'c');
    await server.start();
    await published(core);
    await until('a snapshot of the new life', async () => {
      const snapshot = await snapshotOn(bus);
      return snapshot?.config.position === 3 && snapshot.logCreatedAt !== first?.logCreatedAt;
    });
    assert.deepEqual(await deltasOn(bus), [{ epoch: 1, from: 3, to: 3, changes: [] }]);
    const copies = (await messagesOn(bus, EVENT_LOG)).map(lastEventIn);
    assert.deepEqual(copies, [...core.events.readAll(0)]);
    await assertProxyIsUpToDate(bus, core);
  });

  it('answer a snapshot request with the newest config', async (t) => {
    const { core, bus } = await start(t);
    await registerAll(core, 'a', 'b', 'c');
    await published(core);
    const answer = await bus.request(SUBJECTS.snapshotRequest, new Uint8Array(), 2_000);
    assert.equal(decodeSnapshotAnswer(Buffer.from(answer).toString('utf8')).position, 3);
    assert.equal((await snapshotOn(bus))?.config.position, 3);
  });
});
