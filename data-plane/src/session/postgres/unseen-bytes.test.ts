/** Random bytes are new each time, over many reserves of them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { unseenBytes } from './unseen-bytes.ts';

describe('unseenBytes', () => {
  it('gives 2,000 times 18 bytes that are all different', () => {
    const all = Array.from({ length: 2_000 }, () => unseenBytes(18));
    assert.deepEqual(new Set(all.map(({ length }) => length)), new Set([18]));
    assert.equal(new Set(all.map((bytes) => bytes.toString('hex'))).size, 2_000);
  });

  it('gives bytes that stay as they are while others are given', () => {
    const first = unseenBytes(32);
    const copy = Buffer.from(first);
    for (let i = 0; i < 1_000; i++) unseenBytes(i % 40);
    assert.deepEqual(first, copy);
  });

  it('gives each value of a byte about as often as any other', () => {
    const counts = new Uint32Array(256);
    for (let i = 0; i < 10_000; i++)
      for (const byte of unseenBytes(26)) counts[byte] = (counts[byte] ?? 0) + 1;
    // 1,015 of each are expected, with a standard deviation of 32.
    assert.ok(Math.min(...counts) > 700 && Math.max(...counts) < 1_330, counts.join(' '));
  });
});
