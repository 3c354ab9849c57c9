/**
 * What every bus's objects do, as tests; part of bus.contract.ts.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';
import { BUS_LIMITS } from './bus.ts';
import type { Bus } from './bus.ts';
import { bytes, rejectsWith, text, uniqueName } from './support.contract.ts';

export function objectsContract(bus: () => Bus): void {
  it('gives back what was put, and the newest after a second put', async () => {
    const objects = bus().objects(uniqueName());
    await objects.put('latest', bytes('one'));
    assert.equal(text((await objects.get('latest')) ?? bytes('nothing')), 'one');
    await objects.put('latest', bytes('two'));
    assert.equal(text((await objects.get('latest')) ?? bytes('nothing')), 'two');
  });

  it('gives each reader bytes of its own', async () => {
    const objects = bus().objects(uniqueName());
    await objects.put('latest', bytes('one'));
    (await objects.get('latest'))?.fill(0);
    assert.equal(text((await objects.get('latest')) ?? bytes('nothing')), 'one');
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
