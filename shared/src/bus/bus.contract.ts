/**
 * What every bus does, as tests: run against each adapter by `busContract(name, openBus)`.
 * Outages are not in it; the adapter that can have them has tests of its own.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Bus } from './bus.ts';
import { keysContract } from './keys.contract.ts';
import { followContract, logContract } from './log.contract.ts';
import { requestsContract, subjectsContract } from './messages.contract.ts';
import { objectsContract } from './objects.contract.ts';
import { bytes, Collector, newLog, rejectsWith, text, uniqueName } from './support.contract.ts';

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
    describe('keys', () => keysContract(() => bus));
    describe('subjects', () => subjectsContract(() => bus));
    describe('requests', () => requestsContract(() => bus));
    describe('closing', () => closingContract(() => bus));
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
    const keys = bus().keys({ bucket: 'b' });
    await rejectsWith('BUS_UNAVAILABLE', keys.get('k'));
    await rejectsWith('BUS_UNAVAILABLE', keys.create('k', bytes('x')));
    await rejectsWith('BUS_UNAVAILABLE', bus().request('s', bytes('x'), 1_000));
    bus().publish('s', bytes('x'));
    const calls: string[] = [];
    bus().subscribe('s', () => calls.push('subscriber'));
    log.follow(1, () => void calls.push('follower'));
    keys.watch('>', () => void calls.push('watcher'));
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
