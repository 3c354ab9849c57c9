/**
 * What every bus's keys do, as tests; part of bus.contract.ts.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BUS_LIMITS } from './bus.ts';
import type { Bus, BusKeys, KeyChange, KeyEntry, KeysSpec } from './bus.ts';
import { bytes, Collector, rejectsWith, text, uniqueName } from './support.contract.ts';

export function keysContract(bus: () => Bus): void {
  const newKeys = (limits: Omit<KeysSpec, 'bucket'> = {}) =>
    bus().keys({ bucket: uniqueName(), ...limits });

  valuesContract(newKeys, bus);
  limitsContract(newKeys);
  watchContract(newKeys);
}

type NewKeys = (limits?: Omit<KeysSpec, 'bucket'>) => BusKeys;

function valuesContract(newKeys: NewKeys, bus: () => Bus): void {
  it('has nothing under a key never written, in a bucket that exists or not', async () => {
    const keys = newKeys();
    assert.equal(await keys.get('a'), undefined);
    await keys.put('b', bytes('one'));
    assert.equal(await keys.get('a'), undefined);
  });

  it('gives back what was written last, under a revision that rises', async () => {
    const keys = newKeys();
    const first = await keys.put('a.b', bytes('one'));
    assert.deepEqual(read(await keys.get('a.b')), ['one', first]);
    const second = await keys.put('a.b', bytes('two'));
    assert.ok(second > first);
    assert.deepEqual(read(await keys.get('a.b')), ['two', second]);
  });

  it('is the same bucket for two handles of one name', async () => {
    const bucket = uniqueName();
    const revision = await bus().keys({ bucket }).create('a', bytes('one'));
    assert.deepEqual(read(await bus().keys({ bucket }).get('a')), ['one', revision]);
  });

  it('creates a key for one of 10 who try at once, and again once it is deleted', async () => {
    const keys = newKeys();
    for (const round of ['first', 'second']) {
      const tries = Array.from({ length: 10 }, (_, n) => keys.create('a', bytes(`${round} ${n}`)));
      const outcomes = await Promise.allSettled(tries);
      const winners = outcomes.flatMap((outcome, n) =>
        outcome.status === 'fulfilled' ? [{ n, revision: outcome.value }] : [],
      );
      assert.equal(winners.length, 1, round);
      for (const [n, lost] of tries.entries()) {
        if (n !== winners[0]?.n) await rejectsWith('BUS_SEQUENCE_CONFLICT', lost);
      }
      const held = await keys.get('a');
      assert.deepEqual(read(held), [`${round} ${winners[0]?.n}`, winners[0]?.revision]);
      await keys.delete('a');
    }
  });

  it('updates the revision it is told, and no other', async () => {
    const keys = newKeys();
    const first = await keys.create('a', bytes('one'));
    await keys.put('b', bytes('other'));
    const second = await keys.update('a', bytes('two'), first);
    await rejectsWith('BUS_SEQUENCE_CONFLICT', keys.update('a', bytes('late'), first));
    await rejectsWith('BUS_SEQUENCE_CONFLICT', keys.update('a', bytes('early'), second + 7));
    await rejectsWith('BUS_SEQUENCE_CONFLICT', keys.update('c', bytes('none'), second));
    assert.deepEqual(read(await keys.get('a')), ['two', second]);
  });

  it('deletes a key, at the revision it is told where that is given', async () => {
    const keys = newKeys();
    await keys.delete('a');
    const first = await keys.put('a', bytes('one'));
    const second = await keys.put('a', bytes('two'));
    await rejectsWith('BUS_SEQUENCE_CONFLICT', keys.delete('a', first));
    assert.deepEqual(read(await keys.get('a')), ['two', second]);
    await keys.delete('a', second);
    assert.equal(await keys.get('a'), undefined);
    await rejectsWith('BUS_SEQUENCE_CONFLICT', keys.update('a', bytes('late'), second));
    assert.ok((await keys.create('a', bytes('three'))) > second);
  });
}

function limitsContract(newKeys: NewKeys): void {
  it('carries an empty value and one of valueBytesMax, and refuses one byte more', async () => {
    const keys = newKeys({ valueBytesMax: 1_000 });
    await keys.put('a', new Uint8Array(0));
    assert.equal((await keys.get('a'))?.value.byteLength, 0);
    const revision = await keys.put('a', new Uint8Array(1_000));
    await keys.update('a', new Uint8Array(1_000), revision);
    await rejectsWith('BUS_MESSAGE_TOO_LARGE', keys.put('a', new Uint8Array(1_001)));
    await rejectsWith('BUS_MESSAGE_TOO_LARGE', keys.create('b', new Uint8Array(1_001)));
    const beyond = new Uint8Array(BUS_LIMITS.messageBytesMax + 1);
    await rejectsWith('BUS_MESSAGE_TOO_LARGE', newKeys().put('a', beyond));
  });

  it('refuses what a bucket of 4,096 bytes has no room for, and keeps what is there', async () => {
    const keys = newKeys({ bytesMax: 4_096 });
    await keys.put('a', new Uint8Array(2_000));
    await rejectsWith('BUS_UNAVAILABLE', keys.put('b', new Uint8Array(3_000)));
    assert.equal((await keys.get('a'))?.value.byteLength, 2_000);
    assert.equal(await keys.get('b'), undefined);
  });

  it('forgets what was not written again for 500 ms when ttlMs is that', async () => {
    const keys = newKeys({ ttlMs: 500 });
    await keys.put('a', bytes('one'));
    assert.notEqual(await keys.get('a'), undefined);
    while ((await keys.get('a')) !== undefined) await sleep(20);
    await keys.create('a', bytes('two'));
  });
}

function watchContract(newKeys: NewKeys): void {
  it('tells what is there, then what is written and deleted', async () => {
    const keys = newKeys();
    await keys.put('a', bytes('one'));
    const seen = new Collector<KeyChange>();
    keys.watch('>', seen.add);
    const [first] = await seen.first(1);
    assert.equal(told(first), 'a=one');
    await keys.put('b.c', bytes('two'));
    assert.equal(told((await seen.first(2))[1]), 'b.c=two');
    await keys.delete('a');
    assert.equal(told((await seen.first(3))[2]), 'a deleted');
    assert.deepEqual(
      seen.items.map(({ revision }) => revision),
      [1, 2, 3],
    );
  });

  it('tells of the keys that match alone', async () => {
    const keys = newKeys();
    const seen = new Collector<KeyChange>();
    await keys.put('slots.x.y', bytes('no'));
    keys.watch('slots.*', seen.add);
    await keys.put('other', bytes('no'));
    await keys.put('slots.p1', bytes('yes'));
    assert.equal(told((await seen.first(1))[0]), 'slots.p1=yes');
  });

  it('waits for the promise of the handler and goes on when it throws', async () => {
    const keys = newKeys();
    const seen = new Collector<KeyChange>();
    let running = 0;
    keys.watch('>', async (change) => {
      running += 1;
      assert.equal(running, 1);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      seen.add(change);
      throw new Error('thrown by the test');
    });
    for (const key of ['a', 'b', 'c']) await keys.put(key, bytes(key));
    assert.deepEqual((await seen.first(3)).map(told), ['a=a', 'b=b', 'c=c']);
  });

  it('tells nothing more once closed', async () => {
    const keys = newKeys();
    const [seen, witness] = [new Collector<KeyChange>(), new Collector<KeyChange>()];
    const watching = keys.watch('>', seen.add);
    keys.watch('>', witness.add);
    await keys.put('a', bytes('one'));
    await seen.first(1);
    watching.close();
    await keys.put('b', bytes('two'));
    await witness.first(2);
    assert.equal(seen.items.length, 1);
  });
}

function read(entry: KeyEntry | undefined): readonly [string, number] | undefined {
  return entry && [text(entry.value), entry.revision];
}

function told(change: KeyChange | undefined): string {
  if (change === undefined) return 'nothing';
  return change.kind === 'deleted'
    ? `${change.key} deleted`
    : `${change.key}=${text(change.value)}`;
}
