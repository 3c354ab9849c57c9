/** Frames of a server's answer, however its bytes arrive. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Frames } from './frames.ts';

const ANSWER = Buffer.concat([
  Buffer.from([...Buffer.from('D'), 0, 0, 0, 7, 1, 2, 3]),
  Buffer.from([...Buffer.from('I'), 0, 0, 0, 4]),
  Buffer.from([...Buffer.from('Z'), 0, 0, 0, 5, 73]),
]);
const EXPECTED = ['D 010203', 'I ', 'Z 49'];

function cut(chunks: readonly Uint8Array[]): string[] {
  const seen: string[] = [];
  const frames = new Frames((type, body) => {
    seen.push(`${String.fromCharCode(type)} ${Buffer.from(body).toString('hex')}`);
  });
  // One buffer for all reads, as sockets have here.
  const shared = new Uint8Array(64);
  for (const chunk of chunks) {
    shared.set(chunk);
    frames.push(shared.subarray(0, chunk.length));
  }
  return seen;
}

describe('Frames', () => {
  it('cuts the same frames wherever the answer is split', () => {
    assert.deepEqual(cut([ANSWER]), EXPECTED);
    for (let at = 1; at < ANSWER.length; at += 1) {
      assert.deepEqual(cut([ANSWER.subarray(0, at), ANSWER.subarray(at)]), EXPECTED, `at ${at}`);
    }
    assert.deepEqual(cut([...ANSWER].map((byte) => Uint8Array.of(byte))), EXPECTED);
  });
});
