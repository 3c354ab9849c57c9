/** Snapshots as bytes: what goes in comes out, and nothing that is longer than allowed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromSnapshotBytes, toSnapshotBytes } from './snapshot-bytes.ts';

const TEXT_BYTES_MAX = 10_000_000;
const large = Buffer.from(`{"tenants":[${'{"host":"pg-1.internal"},\n'.repeat(100_000)}]}`);

describe('the bytes of a snapshot', () => {
  it('are its text when it is small, and less than half of it when it has 2.6 MB', async () => {
    const small = Buffer.from('{"tenants":[]}');
    assert.deepEqual(await toSnapshotBytes(small), small);
    const packed = await toSnapshotBytes(large);
    assert.ok(packed.byteLength * 2 < large.byteLength, `${packed.byteLength} bytes`);
    for (const text of [small, large]) {
      const read = await fromSnapshotBytes(await toSnapshotBytes(text), TEXT_BYTES_MAX);
      assert.ok(read.equals(text));
    }
  });

  it('are refused when their text is longer than allowed, or they are broken', async () => {
    const packed = await toSnapshotBytes(large);
    await assert.rejects(fromSnapshotBytes(packed, large.byteLength - 1), RangeError);
    await assert.rejects(fromSnapshotBytes(packed.subarray(0, 500), TEXT_BYTES_MAX), {
      code: 'Z_BUF_ERROR',
    });
  });
});
