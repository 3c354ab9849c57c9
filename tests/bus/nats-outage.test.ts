/** The NATS bus while its server is away, hangs, or is not there yet. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { BusStatus, LogMessage } from '@dbbouncer/shared/bus/bus.ts';
import {
  bytes,
  Collector,
  newLog,
  readings,
  rejectsWith,
  text,
  uniqueName,
} from '@dbbouncer/shared/bus/support.contract.ts';
import { appendUntilStored, openBus, reached, server, withBus } from './nats-harness.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Buffers are freed in the background after a collection; the next one waits for that. */
function heldBytes(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

describe('NatsBus and a server that goes away', { timeout: 60_000 }, () => {
  it(
    'tells disconnected when the server is killed and connected when it is back',
    withBus(async (bus) => {
      const seen: BusStatus[] = [];
      bus.onStatus((status) => seen.push(status));
      await server.kill();
      await reached(bus, 'disconnected');
      await server.start();
      await reached(bus, 'connected');
      await bus.close();
      assert.deepEqual(seen, ['disconnected', 'connected', 'closed']);
    }),
  );

  it('is there while the server is not yet, and works once it is', async () => {
    await server.stop();
    const bus = openBus();
    try {
      assert.equal(bus.status, 'connecting');
      const log = newLog(bus);
      const got = new Collector<LogMessage>();
      const heard = new Collector<string>();
      const subject = uniqueName();
      log.follow(1, got.add);
      bus.subscribe(subject, (data) => heard.add(text(data)));
      await server.start();
      await appendUntilStored(log, 1);
      assert.deepEqual(readings(await got.first(1)), ['1:1']);
      bus.publish(subject, bytes('hello'));
      assert.deepEqual(await heard.first(1), ['hello']);
    } finally {
      await bus.close();
      await server.start();
    }
  });

  it('rejects appends, reads and requests within its 300 ms while the server is down', async () => {
    const bus = openBus({ operationTimeoutMs: 300 });
    await reached(bus, 'connected');
    const log = newLog(bus);
    await log.append('a', bytes('one'));
    await server.kill();
    await reached(bus, 'disconnected');
    // Timers of the bus do not keep a process alive; this test has to.
    const alive = setInterval(() => {}, 1_000);
    const startedAt = performance.now();
    await Promise.all([
      rejectsWith('BUS_UNAVAILABLE', log.append('b', bytes('two'))),
      rejectsWith('BUS_UNAVAILABLE', log.state()),
      rejectsWith('BUS_UNAVAILABLE', log.last()),
      rejectsWith('BUS_UNAVAILABLE', bus.request('s', bytes('x'), 10_000)),
    ]);
    assert.ok(performance.now() - startedAt < 3_000);
    clearInterval(alive);
    await server.start();
    assert.equal((await log.append('b', bytes('two'))).sequence, 2);
    await bus.close();
  });

  it(
    'fails what is under way when the connection is lost, long before its timeout',
    withBus(async (bus) => {
      const subject = uniqueName();
      const asked = new Collector<string>();
      bus.respond(subject, (data) => {
        asked.add(text(data));
        return new Promise(() => {});
      });
      const failed = rejectsWith('BUS_UNAVAILABLE', bus.request(subject, bytes('x'), 600_000));
      await asked.first(1);
      await server.kill();
      await failed;
    }),
  );

  it('rejects an append to a server that hangs, and stores the repeat once', async () => {
    const bus = openBus({ operationTimeoutMs: 300 });
    await reached(bus, 'connected');
    const log = newLog(bus);
    await log.append('a', bytes('one'));
    await server.freeze();
    const alive = setInterval(() => {}, 1_000);
    await rejectsWith('BUS_UNAVAILABLE', log.append('b', bytes('two'))).finally(() =>
      server.resume(),
    );
    clearInterval(alive);
    assert.deepEqual(await log.append('b', bytes('two')), { sequence: 2, duplicate: true });
    assert.deepEqual(await log.append('c', bytes('three')), { sequence: 3, duplicate: false });
    await bus.close();
  });

  it(
    'keeps subscriptions and responders across a restart',
    withBus(async (bus) => {
      const subject = uniqueName();
      const heard = new Collector<string>();
      bus.subscribe(`${subject}.*`, (data) => heard.add(text(data)));
      bus.respond(subject, async (data) => data);
      await server.kill();
      await reached(bus, 'disconnected');
      bus.publish(`${subject}.a`, bytes('dropped'));
      await server.start();
      await reached(bus, 'connected');
      bus.publish(`${subject}.a`, bytes('heard'));
      assert.deepEqual(await heard.first(1), ['heard']);
      assert.equal(text(await bus.request(subject, bytes('x'), 5_000)), 'x');
    }),
  );

  it(
    'drops what is published while disconnected without keeping it',
    withBus(async (bus) => {
      await server.kill();
      await reached(bus, 'disconnected');
      const before = heldBytes();
      for (let n = 0; n < 1_000; n += 1) bus.publish('s', new Uint8Array(100_000));
      await nextTurn();
      const held = heldBytes() - before;
      assert.ok(held < 4_000_000, `${held} bytes are held of the 100 MB that were published`);
    }),
  );

  it(
    'holds at most about 8 MB for a server that hangs',
    withBus(async (bus) => {
      const before = heldBytes();
      await server.freeze();
      for (let n = 0; n < 200; n += 1) {
        bus.publish('s', new Uint8Array(500_000));
        await nextTurn();
      }
      const held = heldBytes() - before;
      server.resume();
      assert.ok(held < 20_000_000, `${held} bytes are held of the 100 MB that were published`);
      const answered = bus.respond('echo', async (got) => got);
      assert.equal(text(await bus.request('echo', bytes('x'), 10_000)), 'x');
      answered.close();
    }),
  );
});
