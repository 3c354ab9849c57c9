/** What is used again, in which sizes, and what is not kept. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BufferPool } from './buffer-pool.ts';

const pool = (freeBytesMax?: number) =>
  new BufferPool({ initialBytes: 1_000, maxBytes: 5_000, ...(freeBytesMax && { freeBytesMax }) });

describe('BufferPool', () => {
  it('hands out sizes that double, up to the largest', () => {
    const buffers = pool();
    const sizes = [1, 1_000, 1_001, 2_000, 3_999, 4_001, 5_000].map((n) => buffers.get(n).length);
    assert.deepEqual(sizes, [1_000, 1_000, 2_000, 2_000, 4_000, 5_000, 5_000]);
    assert.equal(buffers.get().length, 1_000);
  });

  it('hands the buffer out again that was given back last, to nobody else', () => {
    const buffers = pool();
    const first = buffers.get(1_500);
    buffers.put(first);
    assert.equal(buffers.get(2_000), first);
    assert.notEqual(buffers.get(2_000), first);
    assert.deepEqual(buffers.counts, { gets: 3, misses: 2, returns: 1, discards: 0 });
  });

  it('makes a buffer of 5,001 bytes for one use, where 5,000 are the most', () => {
    const buffers = pool();
    const large = buffers.get(5_001);
    assert.equal(large.length, 5_001);
    buffers.put(large);
    assert.deepEqual(buffers.counts, { gets: 1, misses: 1, returns: 0, discards: 1 });
    assert.equal(buffers.freeBytes, 0);
  });

  it('keeps 3,000 free bytes where no more are allowed, and leaves the fourth thousand', () => {
    const buffers = pool(3_000);
    for (const buffer of [1, 2, 3, 4].map(() => buffers.get())) buffers.put(buffer);
    assert.equal(buffers.freeBytes, 3_000);
    assert.equal(buffers.counts.discards, 1);
  });

  it('knows at any time which bytes are taken and which are free, and shares none', () => {
    const step = fc.oneof(
      fc.record({ act: fc.constant('get' as const), bytes: fc.integer({ min: 1, max: 6_000 }) }),
      fc.record({ act: fc.constantFrom('put' as const, 'discard' as const), index: fc.nat(20) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const buffers = pool(8_000);
        const taken: Buffer[] = [];
        for (const each of steps) {
          if (each.act === 'get') {
            const buffer = buffers.get(each.bytes);
            assert.ok(buffer.length >= each.bytes && !taken.includes(buffer));
            taken.push(buffer);
          } else {
            const [buffer] = taken.splice(each.index % Math.max(1, taken.length), 1);
            if (buffer !== undefined) buffers[each.act](buffer);
          }
          assert.equal(
            buffers.takenBytes,
            taken.reduce((sum, { length }) => sum + length, 0),
          );
          assert.ok(buffers.freeBytes <= 8_000);
        }
        const { gets, returns, discards } = buffers.counts;
        assert.equal(gets, returns + discards + taken.length);
      }),
    );
  });
});
