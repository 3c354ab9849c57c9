/**
 * What every bus's logs do, as tests; part of bus.contract.ts.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';
import { BUS_LIMITS } from './bus.ts';
import type { Bus, LogMessage } from './bus.ts';
import {
  appendUpTo,
  bytes,
  Collector,
  newLog,
  readings,
  rejectsWith,
  text,
  uniqueName,
} from './support.contract.ts';

export function logContract(bus: () => Bus): void {
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

  it('appends behind the sequence it is told to expect, also when 100 are under way', async () => {
    const log = newLog(bus());
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        log.append(`id-${n}`, bytes(String(n)), { expectedLastSequence: n }),
      ),
    );
    assert.deepEqual(
      results.map(({ sequence }) => sequence),
      Array.from({ length: 100 }, (_, n) => n + 1),
    );
  });

  it('stores nothing of a message that expects another end of the log, nor behind it', async () => {
    const log = newLog(bus());
    await log.append('a', bytes('one'), { expectedLastSequence: 0 });
    const late = [0, 2, 3].map(async (expectedLastSequence) => {
      const append = log.append(`late-${expectedLastSequence}`, bytes('x'), {
        expectedLastSequence,
      });
      await rejectsWith('BUS_SEQUENCE_CONFLICT', append);
    });
    await Promise.all(late);
    assert.equal((await log.state()).lastSequence, 1);
    const next = await log.append('late-0', bytes('two'), { expectedLastSequence: 1 });
    assert.deepEqual(next, { sequence: 2, duplicate: false });
  });

  it('knows an id again whatever the repeat expects', async () => {
    const log = newLog(bus());
    await log.append('a', bytes('one'), { expectedLastSequence: 0 });
    const again = await log.append('a', bytes('one'), { expectedLastSequence: 0 });
    assert.deepEqual(again, { sequence: 1, duplicate: true });
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

export function followContract(bus: () => Bus): void {
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
