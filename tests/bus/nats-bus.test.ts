/** The NATS bus on a real nats-server: the contract, then what only an engine that can go away has to show. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  appendUpTo,
  busContract,
  bytes,
  Collector,
  newLog,
  readings,
  rejectsWith,
  text,
  uniqueName,
} from '@dbbouncer/shared/bus/bus.contract.ts';
import type { Bus, BusLog, BusStatus, LogMessage } from '@dbbouncer/shared/bus/bus.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';

let server: NatsServer;
before(async () => {
  server = await startNatsServer();
});
after(() => server.stop());

function openBus(options: { readonly operationTimeoutMs?: number } = {}): Bus {
  return connectNatsBus({ servers: server.url, name: 'test', reconnectDelayMs: 40, ...options });
}

async function reached(bus: Bus, wanted: BusStatus): Promise<void> {
  if (bus.status === wanted) return;
  await new Promise<void>((resolve) => {
    const listening = bus.onStatus((status) => {
      if (status !== wanted) return;
      listening.close();
      resolve();
    });
  });
}

async function connectedBus(): Promise<Bus> {
  const bus = openBus();
  await reached(bus, 'connected');
  return bus;
}

/** Runs `work` with a connected bus that is closed afterwards, and with the server running again. */
function withBus(work: (bus: Bus) => Promise<void>): () => Promise<void> {
  return async () => {
    const bus = await connectedBus();
    try {
      await work(bus);
    } finally {
      await bus.close();
      await server.start();
    }
  };
}

/** What a publisher does: the same id again until it is stored. */
async function appendUntilStored(log: BusLog, n: number): Promise<void> {
  for (;;) {
    try {
      await log.append(`id-${n}`, bytes(String(n)));
      return;
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'BUS_UNAVAILABLE');
    }
  }
}

const upTo = (last: number): string[] =>
  Array.from({ length: last }, (_, index) => `${index + 1}:${index + 1}`);

busContract('NatsBus', connectedBus);

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
    server.freeze();
    const alive = setInterval(() => {}, 1_000);
    await rejectsWith('BUS_UNAVAILABLE', log.append('b', bytes('two')));
    server.resume();
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
      const data = new Uint8Array(100_000);
      const before = process.memoryUsage().arrayBuffers;
      for (let n = 0; n < 2_000; n += 1) bus.publish('s', data.slice());
      await new Promise((resolve) => setImmediate(resolve));
      // 200 MB were published; what the garbage collector has not seen to yet is not held by the bus.
      globalThis.gc?.();
      assert.ok(process.memoryUsage().arrayBuffers - before < 50_000_000);
    }),
  );

  it(
    'holds at most about 8 MB for a server that hangs',
    withBus(async (bus) => {
      const data = new Uint8Array(500_000);
      const before = process.memoryUsage().arrayBuffers;
      server.freeze();
      for (let n = 0; n < 200; n += 1) {
        bus.publish('s', data);
        await new Promise((resolve) => setImmediate(resolve));
      }
      const held = process.memoryUsage().arrayBuffers - before;
      server.resume();
      assert.ok(held < 40_000_000, `${held} bytes are held of the 100 MB that were published`);
      const answered = bus.respond('echo', async (got) => got);
      assert.equal(text(await bus.request('echo', bytes('x'), 10_000)), 'x');
      answered.close();
    }),
  );
});

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

describe('NatsBus log and other hands on its stream', { timeout: 30_000 }, () => {
  it(
    'follows on after a purge, with the next message',
    withBus(async (bus) => {
      const stream = uniqueName();
      const log = bus.log({ stream, subject: `${stream}.entry` });
      const got = new Collector<LogMessage>();
      log.follow(1, got.add);
      await appendUpTo(log, 3);
      await got.first(3);
      await bus.request(`$JS.API.STREAM.PURGE.${stream}`, bytes(''), 5_000);
      const state = await log.state();
      assert.deepEqual([state.firstSequence, state.lastSequence], [4, 3]);
      assert.equal(await log.last(), undefined);
      await appendUpTo(log, 4, 4);
      assert.deepEqual(readings(await got.first(4)), upTo(4));
    }),
  );

  it(
    'follows the new stream from its start when it is deleted and made again',
    withBus(async (bus) => {
      const stream = uniqueName();
      const log = bus.log({ stream, subject: `${stream}.entry` });
      const got = new Collector<LogMessage>();
      log.follow(1, got.add);
      await appendUpTo(log, 3);
      await got.first(3);
      await bus.request(`$JS.API.STREAM.DELETE.${stream}`, bytes(''), 5_000);
      await appendUpTo(log, 2);
      assert.deepEqual(readings(await got.first(5)), [...upTo(3), '1:1', '2:2']);
    }),
  );

  it(
    'does not pull further while the handler is busy',
    withBus(async (bus) => {
      const log = newLog(bus);
      const total = 1_000;
      await appendUpTo(log, total);
      let release = () => {};
      const held = new Promise<void>((resolve) => (release = resolve));
      const got = new Collector<number>();
      log.follow(1, async ({ sequence }) => {
        got.add(sequence);
        await held;
      });
      await got.first(1);
      assert.equal(got.items.length, 1);
      release();
      assert.ok((await got.first(total)).every((sequence, index) => sequence === index + 1));
    }),
  );

  it(
    'uses an existing stream as it is',
    withBus(async (bus) => {
      const stream = uniqueName();
      const subject = `${stream}.entry`;
      await appendUpTo(bus.log({ stream, subject, messagesMax: 2 }), 1);
      const log = bus.log({ stream, subject, messagesMax: 50 });
      await appendUpTo(log, 4, 2);
      assert.equal((await log.state()).firstSequence, 3);
    }),
  );
});

describe('NatsBus between two processes', { timeout: 30_000 }, () => {
  it(
    'carries log, object, message and request from one bus to another',
    withBus(async (one) => {
      const other = await connectedBus();
      const [stream, subject, bucket] = [uniqueName(), uniqueName(), uniqueName()];
      const got = new Collector<LogMessage>();
      other.log({ stream, subject: `${stream}.entry` }).follow(1, got.add);
      await one.log({ stream, subject: `${stream}.entry` }).append('a', bytes('1'));
      assert.deepEqual(readings(await got.first(1)), ['1:1']);
      await one.objects(bucket).put('latest', bytes('snapshot'));
      const read = await other.objects(bucket).get('latest');
      assert.equal(text(read ?? bytes('nothing')), 'snapshot');
      other.respond(subject, async (data) => bytes(`${text(data)}, answered`));
      // The answer proves that the server knows the responder; until then nobody may be there.
      await other.request(subject, bytes('ready'), 5_000);
      assert.equal(text(await one.request(subject, bytes('asked'), 5_000)), 'asked, answered');
      await other.close();
    }),
  );
});
