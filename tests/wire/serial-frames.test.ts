/** Messages that come in long rows of one type, such as DataRow: judged once in each chunk. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  DROP,
  FORWARD,
  FORWARD_NOW,
  FrameScanner,
} from '@dbbouncer/data-plane/wire/postgres/frame-scanner.ts';
import type { FrameVerdict } from '@dbbouncer/data-plane/wire/postgres/frame-scanner.ts';
import { WireError } from '@dbbouncer/data-plane/wire/wire-error.ts';
import { bytes, cutAt, message } from '../support/bytes.ts';

const FRAME_BYTES_MAX = 40;
const SERIAL = ['D', 'd'].map((letter) => letter.charCodeAt(0));

/** Judges by type alone. */
function observed(serial: readonly number[], verdictOf: (type: string) => FrameVerdict) {
  const judged: string[] = [];
  const forwarded: Buffer[] = [];
  const scanner = new FrameScanner({
    handler: {
      needsBody: () => false,
      frame(type) {
        judged.push(String.fromCharCode(type));
        return verdictOf(String.fromCharCode(type));
      },
      forward: (run) => forwarded.push(Buffer.from(run)),
    },
    allowed: new Uint8Array(256).fill(1),
    frameBytesMax: FRAME_BYTES_MAX,
    collectBytesMax: FRAME_BYTES_MAX,
    serial,
  });
  return { scanner, judged, bytes: () => Buffer.concat(forwarded) };
}

const row = (text: string) => message('D', bytes().text(text));

describe('FrameScanner, of types that come in a row', () => {
  it('judges the first of 1,000 in each of two chunks, and passes all of them on', () => {
    const rows = Buffer.concat(Array.from({ length: 1_000 }, (_, i) => row(`row ${i}`)));
    const end = message('C', bytes().text('SELECT'));
    const { scanner, judged, bytes: passedOn } = observed(SERIAL, () => FORWARD);
    scanner.push(rows);
    scanner.push(Buffer.concat([rows, end]));
    assert.deepEqual(judged, ['D', 'D', 'C']);
    assert.deepEqual(passedOn(), Buffer.concat([rows, rows, end]));
  });

  it('judges each of those it does not pass on', () => {
    const rows = Buffer.concat([row('a'), row('b'), row('c')]);
    const { scanner, judged, bytes: passedOn } = observed(SERIAL, () => DROP);
    scanner.push(rows);
    assert.deepEqual(judged, ['D', 'D', 'D']);
    assert.equal(passedOn().length, 0);
  });

  for (const [what, length] of [
    ['3', 3],
    ['-1', -1],
    [`${FRAME_BYTES_MAX + 5}`, FRAME_BYTES_MAX + 5],
  ] as const) {
    it(`passes 2 on and refuses the third, whose length is ${what}`, () => {
      const bad = row('x'.repeat(FRAME_BYTES_MAX));
      bad.writeInt32BE(length, 1);
      const { scanner, bytes: passedOn } = observed(SERIAL, () => FORWARD);
      const good = Buffer.concat([row('a'), row('b')]);
      assert.throws(() => scanner.push(Buffer.concat([good, bad, row('c')])), WireError);
      assert.deepEqual(passedOn(), good);
    });
  }

  it('passes the same bytes on as when each is judged, for any messages and chunks', () => {
    const frame = fc.record({
      letter: fc.constantFrom(...'DDDDdCZ'.split('')),
      body: fc.uint8Array({ maxLength: FRAME_BYTES_MAX }),
    });
    const verdicts = fc.dictionary(
      fc.constantFrom(...'DdCZ'.split('')),
      fc.constantFrom<FrameVerdict>(FORWARD, FORWARD_NOW, DROP),
    );
    const cuts = fc.array(fc.nat(600), { maxLength: 8 });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 30 }), verdicts, cuts, (frames, by, offsets) => {
        const stream = Buffer.concat(
          frames.map(({ letter, body }) => message(letter, bytes().raw(...body))),
        );
        const chunks = cutAt(
          stream,
          offsets.map((offset) => Math.min(offset, stream.length)),
        );
        const [serial, each] = [SERIAL, []].map((types) => {
          const seen = observed(types, (letter) => by[letter] ?? FORWARD);
          // FORWARD_NOW is only for frames that are here whole.
          const isWhole = Object.values(by).includes(FORWARD_NOW);
          for (const chunk of isWhole ? [stream] : chunks) seen.scanner.push(chunk);
          return seen.bytes();
        });
        assert.deepEqual(serial, each);
      }),
      { numRuns: 1_000 },
    );
  });
});
