/** HMAC-SHA-256 against the vectors of RFC 4231 and against Node's own. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hmacSha256 } from './hmac-sha256.ts';

const VECTORS = [
  {
    key: Buffer.alloc(20, 0x0b),
    text: 'Hi There',
    mac: 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
  },
  {
    key: Buffer.from('Jefe'),
    text: 'what do ya want for nothing?',
    mac: '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  },
];

describe('HMAC-SHA-256', () => {
  for (const { key, text, mac } of VECTORS) {
    it(`of "${text}" is the one of RFC 4231`, () => {
      assert.equal(hmacSha256(key, text).toString('hex'), mac);
    });
  }

  it('is what Node makes of any key up to 64 bytes and any text, each key used twice', () => {
    const key = fc.uint8Array({ maxLength: 64 });
    const piece = fc.string({ unit: 'binary', minLength: 20, maxLength: 40 });
    const text = fc
      .tuple(piece, fc.constantFrom(0, 1, 120))
      .map(([words, times]) => words.repeat(times));
    const encoding = fc.constantFrom('utf8' as const, 'latin1' as const);
    fc.assert(
      fc.property(key, text, text, encoding, (bytes, first, second, written) => {
        const known = Buffer.from(bytes);
        for (const said of [first, second]) {
          const expected = createHmac('sha256', known).update(said, written).digest();
          assert.deepEqual(hmacSha256(known, said, written), expected);
        }
      }),
    );
  });

  it('refuses a key of 65 bytes', () => {
    assert.throws(() => hmacSha256(Buffer.alloc(65), ''), /no longer than a block/);
  });
});
