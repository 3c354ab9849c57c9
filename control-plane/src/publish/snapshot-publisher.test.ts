/** When snapshots are written: at once, soon, seldom, once for all who ask. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Bus, BusObjects } from '@dbbouncer/shared/bus/bus.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import {
  decodeSnapshotAnswer,
  decodeSnapshotHead,
} from '@dbbouncer/shared/contract/config-snapshot.ts';
import type { ConfigSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import { UNSIGNED } from '@dbbouncer/shared/contract/signed-message.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { followPromises, ManualClock } from '../../../tests/support/manual-clock.ts';
import { initialConfig } from '../projections/routing.ts';
import { SNAPSHOT_TIMES, SnapshotPublisher } from './snapshot-publisher.ts';

describe('SnapshotPublisher', () => {
  let clock: ManualClock;
  let bus: Bus;
  let publisher: SnapshotPublisher;
  let published: ConfigSnapshot | undefined;
  /** Positions written, and what to do before each write. */
  let written: number[];
  let beforeWrite: () => Promise<void>;

  /** The bus, with its one object store watched. */
  function watched(inner: Bus): Bus {
    const objects: BusObjects = {
      get: (name) => inner.objects(SUBJECTS.snapshotBucket).get(name),
      put: async (name, data) => {
        await beforeWrite();
        written.push(decodeSnapshotHead(Buffer.from(data)).config.position);
        await inner.objects(SUBJECTS.snapshotBucket).put(name, data);
      },
    };
    return new Proxy(inner, {
      get: (target, name) => {
        if (name === 'objects') return () => objects;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }

  beforeEach(() => {
    clock = new ManualClock();
    bus = createMemoryBus();
    written = [];
    beforeWrite = async () => {};
    published = undefined;
    publisher = new SnapshotPublisher({
      signer: UNSIGNED,
      bus: watched(bus),
      clock,
      log: silentLogger,
      published: () => published,
    });
    publisher.start();
  });
  afterEach(async () => {
    await publisher.close();
    await bus.close();
  });

  function recoverAt(position: number): void {
    published = snapshotAt(position);
    publisher.onRecovered();
  }
  function publishTo(position: number): void {
    published = snapshotAt(position);
    publisher.onPublished();
  }
  async function ask(): Promise<number> {
    const answer = await bus.request(SUBJECTS.snapshotRequest, new Uint8Array(), 60_000);
    return decodeSnapshotAnswer(Buffer.from(answer).toString('utf8')).position;
  }

  it('writes at once after a recovery when the bus has none', async () => {
    recoverAt(3);
    await clock.pass(0);
    assert.deepEqual(written, [3]);
    assert.equal(publisher.position, 3);
  });

  it('writes at once after a recovery if the bus has another one, not if it has this', async () => {
    recoverAt(3);
    await clock.pass(0);
    recoverAt(4);
    await clock.pass(0);
    recoverAt(4);
    await clock.pass(10_000);
    assert.deepEqual(written, [3, 4]);
  });

  it(`writes ${SNAPSHOT_TIMES.settleMs} ms after a change that follows a quiet time`, async () => {
    recoverAt(0);
    await clock.pass(60_000);
    publishTo(1);
    await clock.pass(100);
    publishTo(2);
    await clock.pass(SNAPSHOT_TIMES.settleMs - 101);
    assert.deepEqual(written, [0]);
    await clock.pass(1);
    assert.deepEqual(written, [0, 2]);
  });

  it(`writes each ${SNAPSHOT_TIMES.intervalMs} ms under constant change, and its end`, async () => {
    recoverAt(0);
    for (let position = 1; position <= 100; position++) {
      await clock.pass(100);
      publishTo(position);
    }
    assert.deepEqual(written, [0, 29, 59, 89]);
    await clock.pass(SNAPSHOT_TIMES.intervalMs);
    assert.deepEqual(written, [0, 29, 59, 89, 100]);
  });

  it('writes at once when a proxy asks, and answers with what it wrote', async () => {
    recoverAt(1);
    await clock.pass(0);
    publishTo(2);
    assert.equal(await ask(), 2);
    assert.deepEqual(written, [1, 2]);
  });

  it('answers from what it wrote just now, and writes again a second later', async () => {
    recoverAt(1);
    await clock.pass(0);
    assert.equal(await ask(), 1);
    assert.deepEqual(written, [1]);
    await clock.pass(SNAPSHOT_TIMES.freshMs);
    assert.equal(await ask(), 1);
    assert.deepEqual(written, [1, 1]);
  });

  it('writes once for all who ask during a write, with what was published by then', async () => {
    recoverAt(1);
    await clock.pass(0);
    let release = () => {};
    beforeWrite = () => new Promise((resolve) => (release = resolve));
    published = snapshotAt(2);
    const first = ask();
    await followPromises();
    published = snapshotAt(3);
    const others = [ask(), ask(), ask()];
    await followPromises();
    await followPromises();
    beforeWrite = async () => {};
    release();
    assert.deepEqual(await Promise.all([first, ...others]), [2, 3, 3, 3]);
    assert.deepEqual(written, [1, 2, 3]);
  });

  it('leaves a proxy without an answer as long as nothing is known to be published', async () => {
    await assert.rejects(bus.request(SUBJECTS.snapshotRequest, new Uint8Array(), 20), {
      code: 'BUS_UNAVAILABLE',
    });
    assert.deepEqual(written, []);
  });

  it('tries again after a second when the bus did not take it', async () => {
    beforeWrite = async () => {
      throw sharedErrors.fail('BUS_UNAVAILABLE', 'No.');
    };
    recoverAt(1);
    await clock.pass(SNAPSHOT_TIMES.retryAfterMs - 1);
    beforeWrite = async () => {};
    assert.deepEqual(written, []);
    await clock.pass(1);
    assert.deepEqual(written, [1]);
  });

  it('waits for the next change when the bus finds it too large', async () => {
    beforeWrite = async () => {
      beforeWrite = async () => {};
      throw sharedErrors.fail('BUS_MESSAGE_TOO_LARGE', 'No.');
    };
    recoverAt(1);
    await clock.pass(60_000);
    assert.deepEqual(written, []);
    publishTo(2);
    await clock.pass(SNAPSHOT_TIMES.intervalMs);
    assert.deepEqual(written, [2]);
  });

  it('writes nothing after it was closed', async () => {
    recoverAt(1);
    await publisher.close();
    publishTo(2);
    await clock.pass(60_000);
    assert.deepEqual(written, []);
  });
});

function snapshotAt(position: number): ConfigSnapshot {
  return {
    logCreatedAt: 'life 1',
    logSequence: position,
    config: { ...initialConfig(1), position },
  };
}
