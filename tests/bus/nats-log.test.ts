/** Logs and objects on a nats-server that is killed and comes back, with its data or without. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LogMessage } from '@dbbouncer/shared/bus/bus.ts';
import {
  appendUpTo,
  bytes,
  Collector,
  newLog,
  readings,
  text,
  uniqueName,
} from '@dbbouncer/shared/bus/support.contract.ts';
import { appendUntilStored, reached, server, upTo, withBus } from './nats-harness.ts';

describe('NatsBus log and a server that is killed', { timeout: 60_000 }, () => {
  it(
    'follows on where it was after a restart with data',
    withBus(async (bus) => {
      const log = newLog(bus);
      const got = new Collector<LogMessage>();
      log.follow(1, got.add);
      await appendUpTo(log, 3);
      await got.first(3);
      const { createdAt } = await log.state();
      await server.kill();
      await server.start();
      for (let n = 4; n <= 6; n += 1) await appendUntilStored(log, n);
      assert.deepEqual(readings(await got.first(6)), upTo(6));
      assert.equal((await log.state()).createdAt, createdAt);
    }),
  );

  it(
    'follows from the first message of the new log after a restart without data',
    withBus(async (bus) => {
      const log = newLog(bus);
      const got = new Collector<LogMessage>();
      log.follow(1, got.add);
      await appendUpTo(log, 5);
      await got.first(5);
      const { createdAt } = await log.state();
      await server.kill();
      server.wipe();
      await server.start();
      await appendUntilStored(log, 11);
      await appendUntilStored(log, 12);
      assert.deepEqual(readings(await got.first(7)), [...upTo(5), '1:11', '2:12']);
      assert.notEqual((await log.state()).createdAt, createdAt);
    }),
  );

  it(
    'makes the empty log again and waits when nobody appends after the data are lost',
    withBus(async (bus) => {
      const log = newLog(bus);
      const got = new Collector<LogMessage>();
      await appendUpTo(log, 2);
      log.follow(1, got.add);
      await got.first(2);
      await server.kill();
      server.wipe();
      await server.start();
      await reached(bus, 'connected');
      const state = await log.state();
      assert.deepEqual([state.firstSequence, state.lastSequence], [0, 0]);
      assert.equal(await log.last(), undefined);
      await appendUntilStored(log, 7);
      assert.deepEqual(readings(await got.first(3)), ['1:1', '2:2', '1:7']);
    }),
  );

  it(
    'loses no acknowledged append and repeats none through 5 kills while appending',
    withBus(async (bus) => {
      const log = newLog(bus);
      const got = new Collector<LogMessage>();
      log.follow(1, got.add);
      const total = 300;
      const appending = (async () => {
        for (let n = 1; n <= total; n += 1) await appendUntilStored(log, n);
      })();
      for (let kill = 1; kill <= 5; kill += 1) {
        await got.first(kill * 20);
        await server.kill();
        await server.start();
        await reached(bus, 'connected');
      }
      await appending;
      assert.deepEqual(readings(await got.first(total)), upTo(total));
      assert.equal((await log.state()).lastSequence, total);
    }),
  );

  it(
    'delivers 10,000 messages once each in order through a kill half way',
    withBus(async (bus) => {
      const log = newLog(bus);
      const total = 10_000;
      for (let n = 1; n <= total; n += 500) {
        const batch = Array.from({ length: 500 }, (_, index) => n + index);
        await Promise.all(batch.map((m) => log.append(`id-${m}`, bytes(String(m)))));
      }
      const sequences = new Collector<number>();
      log.follow(1, ({ sequence }) => sequences.add(sequence));
      await sequences.first(total / 2);
      await server.kill();
      await server.start();
      const got = await sequences.first(total);
      assert.ok(got.every((sequence, index) => sequence === index + 1));
      assert.equal(sequences.items.length, total);
    }),
  );

  it(
    'is killed at any moment of an append, a follow and a put without an unhandled error',
    withBus(async (bus) => {
      const log = newLog(bus);
      const objects = bus.objects(uniqueName());
      const data = new Uint8Array(2_000_000);
      for (let delayMs = 0; delayMs <= 40; delayMs += 5) {
        const works = [
          log.append(`id-${delayMs}`, bytes('x')),
          log.state(),
          objects.put('latest', data),
          objects.get('latest'),
          bus.request('nobody', bytes('x'), 1_000),
        ];
        const following = log.follow(1, () => {});
        const settled = Promise.allSettled(works);
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        await server.kill();
        following.close();
        await server.start();
        await settled;
        await reached(bus, 'connected');
      }
      await objects.put('latest', bytes('after'));
      assert.equal(text((await objects.get('latest')) ?? bytes('nothing')), 'after');
    }),
  );
});
