/**
 * What every bus does, as tests: run against each adapter by `busContract(name, openBus)`.
 * Outages are not in it; the adapter that can have them has tests of its own.
 */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { sharedErrors } from '../errors.ts';
import { BUS_LIMITS } from './bus.ts';
import type { Bus, BusLog, LogMessage } from './bus.ts';

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (data: Uint8Array): string => new TextDecoder().decode(data);
/** A name no other test uses: engines outlive a single test. */
export const uniqueName = (): string => `t${randomUUID().replaceAll('-', '')}`;

/** Gathers what handlers are called with, and lets a test wait for the n-th item. */
export class Collector<T> {
  readonly items: T[] = [];
  #waiting: { readonly count: number; readonly resolve: () => void } | undefined;

  readonly add = (item: T): void => {
    this.items.push(item);
    if (this.#waiting !== undefined && this.items.length >= this.#waiting.count) {
      this.#waiting.resolve();
    }
  };

  /** The first `count` items, once they are there; the test's own timeout is the limit. */
  async first(count: number): Promise<readonly T[]> {
    if (this.items.length < count) {
      await new Promise<void>((resolve) => (this.#waiting = { count, resolve }));
    }
    return this.items.slice(0, count);
  }
}

export function rejectsWith(code: keyof typeof sharedErrors.specs, promise: Promise<unknown>) {
  return assert.rejects(promise, (error) => sharedErrors.is(error) && error.code === code);
}

/** @param openBus opens a connected bus; the suite closes it. */
export function busContract(name: string, openBus: () => Promise<Bus>): void {
  describe(`${name} as a bus`, { timeout: 30_000 }, () => {
    let bus: Bus;
    beforeEach(async () => {
      bus = await openBus();
    });
    afterEach(() => bus.close());

    describe('log', () => logContract(() => bus));
    describe('follow', () => followContract(() => bus));
    describe('objects', () => objectsContract(() => bus));
    describe('subjects', () => subjectsContract(() => bus));
    describe('requests', () => requestsContract(() => bus));
    describe('closing', () => closingContract(() => bus));
  });
}

export function newLog(bus: Bus, messagesMax?: number): BusLog {
  const stream = uniqueName();
  return bus.log({
    stream,
    subject: `${stream}.entry`,
    ...(messagesMax === undefined ? {} : { messagesMax }),
  });
}

/** Appends "1", "2", … up to `last`, each under its own id. */
export async function appendUpTo(log: BusLog, last: number, from = 1): Promise<void> {
  for (let n = from; n <= last; n += 1) await log.append(`id-${n}`, bytes(String(n)));
}

export const readings = (messages: readonly LogMessage[]): string[] =>
  messages.map((message) => `${message.sequence}:${text(message.data)}`);

function logContract(bus: () => Bus): void {
  it('numbers messages from 1 and gives back the newest', async () => {
    const log = newLog(bus());
    assert.deepEqual(await log.append('a', bytes('one')), { sequence: 1, duplicate: false });
    assert.deepEqual(await log.append('b', bytes('two')), { sequence: 2, duplicate: false });
    const last = await log.last();
    assert.equal(last?.sequence, 2);
    assert.equal(text(last.data), 'two');
  });

  it('is empty before the first message: sequences 0 and 0, no newest', async () => {
    const log = newLog(bus());
    const state = await log.state();
    assert.deepEqual([state.firstSequence, state.lastSequence], [0, 0]);
    assert.notEqual(state.createdAt, '');
    assert.equal(await log.last(), undefined);
  });

  it('appends nothing for an id it knows and answers with its sequence', async () => {
    const log = newLog(bus());
    await log.append('a', bytes('one'));
    await log.append('b', bytes('two'));
    assert.deepEqual(await log.append('a', bytes('other')), { sequence: 1, duplicate: true });
    assert.equal((await log.state()).lastSequence, 2);
  });

  it('keeps the newest 3 messages when messagesMax is 3, and its creation time', async () => {
    const log = newLog(bus(), 3);
    const { createdAt } = await log.state();
    await appendUpTo(log, 5);
    assert.deepEqual(await log.state(), { firstSequence: 3, lastSequence: 5, createdAt });
  });

  it('is the same log for two handles of one name', async () => {
    const stream = uniqueName();
    const spec = { stream, subject: `${stream}.entry` };
    await bus().log(spec).append('a', bytes('one'));
    assert.deepEqual(await bus().log(spec).append('a', bytes('one')), {
      sequence: 1,
      duplicate: true,
    });
  });

  it('stores concurrent appends once each, in one order', async () => {
    const log = newLog(bus());
    const ids = Array.from({ length: 50 }, (_, n) => `id-${n}`);
    const results = await Promise.all([...ids, ...ids].map((id) => log.append(id, bytes(id))));
    assert.equal(new Set(results.map((result) => result.sequence)).size, 50);
    assert.equal(results.filter((result) => result.duplicate).length, 50);
  });

  it('carries an empty message and one of messageBytesMax, and refuses one byte more', async () => {
    const log = newLog(bus());
    await log.append('empty', new Uint8Array(0));
    assert.equal((await log.last())?.data.byteLength, 0);
    const largest = randomBytes(BUS_LIMITS.messageBytesMax);
    await log.append('largest', largest);
    assert.ok(largest.equals((await log.last())?.data ?? new Uint8Array(0)));
    const tooLarge = new Uint8Array(BUS_LIMITS.messageBytesMax + 1);
    await rejectsWith('BUS_MESSAGE_TOO_LARGE', log.append('too large', tooLarge));
  });
}

function followContract(bus: () => Bus): void {
  it('delivers what is there, then what comes, in order', async () => {
    const log = newLog(bus());
    await appendUpTo(log, 3);
    const got = new Collector<LogMessage>();
    log.follow(1, got.add);
    await got.first(3);
    await appendUpTo(log, 5, 4);
    assert.deepEqual(readings(await got.first(5)), ['1:1', '2:2', '3:3', '4:4', '5:5']);
  });

  it('begins at the sequence it is told', async () => {
    const log = newLog(bus());
    await appendUpTo(log, 5);
    const got = new Collector<LogMessage>();
    log.follow(4, got.add);
    assert.deepEqual(readings(await got.first(2)), ['4:4', '5:5']);
  });

  it('waits for the next message when told to begin behind the last', async () => {
    const log = newLog(bus());
    await appendUpTo(log, 2);
    const got = new Collector<LogMessage>();
    log.follow(3, got.add);
    await appendUpTo(log, 3, 3);
    assert.deepEqual(readings(await got.first(1)), ['3:3']);
  });

  it('begins at the first message when told a sequence the log cannot have had', async () => {
    const log = newLog(bus());
    await appendUpTo(log, 2);
    const got = new Collector<LogMessage>();
    log.follow(500, got.add);
    assert.deepEqual(readings(await got.first(2)), ['1:1', '2:2']);
  });

  it('goes on with the oldest there is when the ones asked for were dropped', async () => {
    const log = newLog(bus(), 2);
    await appendUpTo(log, 5);
    const got = new Collector<LogMessage>();
    log.follow(1, got.add);
    assert.deepEqual(readings(await got.first(2)), ['4:4', '5:5']);
  });

  it('follows a log before its first message', async () => {
    const log = newLog(bus());
    const got = new Collector<LogMessage>();
    log.follow(1, got.add);
    await appendUpTo(log, 2);
    assert.deepEqual(readings(await got.first(2)), ['1:1', '2:2']);
  });

  it('delivers to every follower', async () => {
    const log = newLog(bus());
    const [one, two] = [new Collector<LogMessage>(), new Collector<LogMessage>()];
    await appendUpTo(log, 2);
    log.follow(1, one.add);
    log.follow(2, two.add);
    await appendUpTo(log, 3, 3);
    assert.deepEqual(readings(await one.first(3)), ['1:1', '2:2', '3:3']);
    assert.deepEqual(readings(await two.first(2)), ['2:2', '3:3']);
  });

  it('waits for the promise of the handler before the next message', async () => {
    const log = newLog(bus());
    await appendUpTo(log, 20);
    let running = 0;
    let mostRunning = 0;
    const done = new Collector<number>();
    log.follow(1, async ({ sequence }) => {
      running += 1;
      mostRunning = Math.max(mostRunning, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      done.add(sequence);
    });
    await done.first(20);
    assert.equal(mostRunning, 1);
  });

  it('goes on with the next message when the handler throws or rejects', async () => {
    const log = newLog(bus());
    await appendUpTo(log, 3);
    const got = new Collector<LogMessage>();
    log.follow(1, (message) => {
      got.add(message);
      if (message.sequence === 1) throw new Error('thrown by the test');
      return Promise.reject(new Error('rejected by the test'));
    });
    assert.deepEqual(readings(await got.first(3)), ['1:1', '2:2', '3:3']);
  });

  it('delivers nothing before follow has returned', async () => {
    const log = newLog(bus());
    await appendUpTo(log, 1);
    let order = '';
    const got = new Collector<LogMessage>();
    log.follow(1, (message) => {
      order += 'delivered';
      got.add(message);
    });
    order += 'returned ';
    await got.first(1);
    assert.equal(order, 'returned delivered');
  });

  it('delivers nothing more once closed, even by its own handler', async () => {
    const log = newLog(bus());
    await appendUpTo(log, 5);
    const got = new Collector<LogMessage>();
    const following = log.follow(1, (message) => {
      if (message.sequence === 2) following.close();
      got.add(message);
    });
    const witness = new Collector<LogMessage>();
    await got.first(2);
    log.follow(1, witness.add);
    await witness.first(5);
    assert.deepEqual(readings(got.items), ['1:1', '2:2']);
  });
}

function objectsContract(bus: () => Bus): void {
  it('gives back what was put, and the newest after a second put', async () => {
    const objects = bus().objects(uniqueName());
    await objects.put('latest', bytes('one'));
    assert.equal(text((await objects.get('latest')) ?? bytes('nothing')), 'one');
    await objects.put('latest', bytes('two'));
    assert.equal(text((await objects.get('latest')) ?? bytes('nothing')), 'two');
  });

  it('has nothing under a name never put, in a bucket that exists or not', async () => {
    const objects = bus().objects(uniqueName());
    assert.equal(await objects.get('latest'), undefined);
    await objects.put('other', bytes('one'));
    assert.equal(await objects.get('latest'), undefined);
  });

  it('keeps an empty object', async () => {
    const objects = bus().objects(uniqueName());
    await objects.put('latest', new Uint8Array(0));
    assert.equal((await objects.get('latest'))?.byteLength, 0);
  });

  it('is the same bucket for two handles of one name', async () => {
    const bucket = uniqueName();
    await bus().objects(bucket).put('latest', bytes('one'));
    const read = await bus().objects(bucket).get('latest');
    assert.equal(text(read ?? bytes('nothing')), 'one');
  });

  it('carries 50 MB whole', async () => {
    const objects = bus().objects(uniqueName());
    const data = randomBytes(50 * 1024 * 1024);
    await objects.put('latest', data);
    const read = await objects.get('latest');
    assert.ok(read !== undefined && data.equals(read));
  });

  it('refuses an object one byte above objectBytesMax', async () => {
    const data = new Uint8Array(BUS_LIMITS.objectBytesMax + 1);
    await rejectsWith('BUS_MESSAGE_TOO_LARGE', bus().objects(uniqueName()).put('latest', data));
  });

  it('never shows a mixture while it is replaced, and ends with the last put', async () => {
    const objects = bus().objects(uniqueName());
    const versions = [1, 2, 3, 4, 5, 6].map((n) => new Uint8Array(700_000 * n).fill(n));
    await objects.put('latest', versions[0] as Uint8Array);
    const puts = Promise.all(versions.map((version) => objects.put('latest', version)));
    for (let read = 0; read < 10; read += 1) {
      const seen = await objects.get('latest');
      const version = seen?.[0] ?? 0;
      assert.equal(seen?.byteLength, 700_000 * version);
      assert.ok(seen?.every((byte) => byte === version));
    }
    await puts;
    assert.equal((await objects.get('latest'))?.[0], 6);
  });
}

function subjectsContract(bus: () => Bus): void {
  it('delivers to every subscriber of the subject, in order, with the subject', async () => {
    const subject = uniqueName();
    const [one, two] = [new Collector<string>(), new Collector<string>()];
    bus().subscribe(subject, (data, actual) => one.add(`${text(data)} on ${actual}`));
    bus().subscribe(subject, (data) => two.add(text(data)));
    for (const word of ['a', 'b', 'c']) bus().publish(subject, bytes(word));
    assert.deepEqual(
      await one.first(3),
      ['a', 'b', 'c'].map((word) => `${word} on ${subject}`),
    );
    assert.deepEqual(await two.first(3), ['a', 'b', 'c']);
  });

  it('matches * with one token and > with one or more', async () => {
    const root = uniqueName();
    const [star, rest] = [new Collector<string>(), new Collector<string>()];
    bus().subscribe(`${root}.*`, (_data, subject) => star.add(subject));
    bus().subscribe(`${root}.>`, (_data, subject) => rest.add(subject));
    const subjects = [root, `${root}.a`, `${root}.a.b`, `${root}.z`];
    for (const subject of subjects) bus().publish(subject, bytes('x'));
    assert.deepEqual(await rest.first(3), [`${root}.a`, `${root}.a.b`, `${root}.z`]);
    assert.deepEqual(await star.first(2), [`${root}.a`, `${root}.z`]);
  });

  it('calls no handler before publish has returned, nor after its subscription is closed', async () => {
    const subject = uniqueName();
    let order = '';
    const closed = bus().subscribe(subject, () => (order += 'closed one called '));
    const got = new Collector<string>();
    bus().subscribe(subject, (data) => {
      order += 'delivered';
      got.add(text(data));
    });
    bus().publish(subject, bytes('x'));
    closed.close();
    order += 'returned ';
    await got.first(1);
    assert.equal(order, 'returned delivered');
  });

  it('goes on after a handler that throws', async () => {
    const subject = uniqueName();
    const got = new Collector<string>();
    bus().subscribe(subject, (data) => {
      got.add(text(data));
      throw new Error('thrown by the test');
    });
    bus().publish(subject, bytes('a'));
    bus().publish(subject, bytes('b'));
    assert.deepEqual(await got.first(2), ['a', 'b']);
  });

  it('drops a message above messageBytesMax and goes on', async () => {
    const subject = uniqueName();
    const got = new Collector<number>();
    bus().subscribe(subject, (data) => got.add(data.byteLength));
    bus().publish(subject, new Uint8Array(BUS_LIMITS.messageBytesMax + 1));
    bus().publish(subject, new Uint8Array(BUS_LIMITS.messageBytesMax));
    assert.deepEqual(await got.first(1), [BUS_LIMITS.messageBytesMax]);
  });
}

function requestsContract(bus: () => Bus): void {
  it('brings the answer of the responder', async () => {
    const subject = uniqueName();
    bus().respond(subject, async (data) => bytes(`${text(data)}, answered`));
    assert.equal(text(await bus().request(subject, bytes('asked'), 5_000)), 'asked, answered');
  });

  it('matches concurrent answers with their requests, whichever is first', async () => {
    const subject = uniqueName();
    const release = new Map<string, () => void>();
    const asked = new Collector<string>();
    bus().respond(subject, async (data) => {
      const held = new Promise<void>((resolve) => release.set(text(data), resolve));
      asked.add(text(data));
      await held;
      return data;
    });
    const answers = ['a', 'b'].map((word) => bus().request(subject, bytes(word), 5_000));
    await asked.first(2);
    release.get('b')?.();
    assert.equal(text(await (answers[1] as Promise<Uint8Array>)), 'b');
    release.get('a')?.();
    assert.equal(text(await (answers[0] as Promise<Uint8Array>)), 'a');
  });

  it('fails at once when nobody answers on the subject', async () => {
    const startedAt = performance.now();
    await rejectsWith('BUS_UNAVAILABLE', bus().request(uniqueName(), bytes('x'), 20_000));
    assert.ok(performance.now() - startedAt < 5_000);
  });

  it('fails after timeoutMs when the responder rejects or is silent', async () => {
    const [failing, silent] = [uniqueName(), uniqueName()];
    bus().respond(failing, () => Promise.reject(new Error('rejected by the test')));
    bus().respond(silent, () => new Promise(() => {}));
    await Promise.all([
      rejectsWith('BUS_UNAVAILABLE', bus().request(failing, bytes('x'), 100)),
      rejectsWith('BUS_UNAVAILABLE', bus().request(silent, bytes('x'), 100)),
    ]);
  });

  it('does not call a responder for what is merely published', async () => {
    const subject = uniqueName();
    const called = new Collector<string>();
    bus().respond(subject, async (data) => {
      called.add(text(data));
      return data;
    });
    bus().publish(subject, bytes('published'));
    await bus().request(subject, bytes('requested'), 5_000);
    assert.deepEqual(called.items, ['requested']);
  });

  it('fails once the only responder has closed', async () => {
    const subject = uniqueName();
    const responding = bus().respond(subject, async (data) => data);
    await bus().request(subject, bytes('x'), 5_000);
    responding.close();
    await rejectsWith('BUS_UNAVAILABLE', bus().request(subject, bytes('x'), 5_000));
  });
}

function closingContract(bus: () => Bus): void {
  it('is connected, then closed, and says so once', async () => {
    const seen: string[] = [];
    bus().onStatus((status) => seen.push(status));
    const ignored = bus().onStatus(() => seen.push('closed listener called'));
    ignored.close();
    assert.equal(bus().status, 'connected');
    await bus().close();
    await bus().close();
    assert.equal(bus().status, 'closed');
    assert.deepEqual(seen, ['closed']);
  });

  it('refuses operations with BUS_UNAVAILABLE and ignores the rest once closed', async () => {
    const log = newLog(bus());
    await log.append('a', bytes('one'));
    await bus().close();
    await rejectsWith('BUS_UNAVAILABLE', log.append('b', bytes('two')));
    await rejectsWith('BUS_UNAVAILABLE', log.state());
    await rejectsWith('BUS_UNAVAILABLE', log.last());
    await rejectsWith('BUS_UNAVAILABLE', bus().objects('b').put('o', bytes('x')));
    await rejectsWith('BUS_UNAVAILABLE', bus().objects('b').get('o'));
    await rejectsWith('BUS_UNAVAILABLE', bus().request('s', bytes('x'), 1_000));
    bus().publish('s', bytes('x'));
    const calls: string[] = [];
    bus().subscribe('s', () => calls.push('subscriber'));
    log.follow(1, () => void calls.push('follower'));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(calls, []);
  });

  it('fails the request under way', async () => {
    const subject = uniqueName();
    const asked = new Collector<string>();
    bus().respond(subject, (data) => {
      asked.add(text(data));
      return new Promise(() => {});
    });
    const failed = rejectsWith('BUS_UNAVAILABLE', bus().request(subject, bytes('x'), 20_000));
    await asked.first(1);
    await bus().close();
    await failed;
  });
}
