/** How large a result is before the server is left to gather more of it, and when that ends. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BYTES_BEFORE_REST, ReadPace } from './read-pace.ts';

const ROOM = 65_536;
const SENT_AT_ONCE = 8_192;

/** Reads each send of a server by itself. @returns how many led to a rest */
function small(pace: ReadPace, bytes: number): number {
  let rests = 0;
  for (let read = 0; read < bytes; read += SENT_AT_ONCE) {
    if (pace.after(SENT_AT_ONCE, ROOM) === 'rest') rests += 1;
  }
  return rests;
}

describe('ReadPace', () => {
  it('rests once more than 4 MB of a result have come, and again when all is read', () => {
    const pace = new ReadPace();
    assert.equal(small(pace, BYTES_BEFORE_REST), 0);
    for (let i = 0; i < 100; i++) {
      assert.equal(pace.after(SENT_AT_ONCE, ROOM), 'rest');
      for (let full = 0; full < 10; full++) assert.equal(pace.after(ROOM, ROOM), 'read');
    }
  });

  it('rests at most once in 4 MB when a rest brings no more than a read without', () => {
    const pace = new ReadPace();
    small(pace, BYTES_BEFORE_REST);
    assert.equal(small(pace, 10 * BYTES_BEFORE_REST), 10);
  });

  it('never rests over results of 4 MB, however many follow each other', () => {
    const pace = new ReadPace();
    for (let i = 0; i < 100; i++) {
      assert.equal(small(pace, BYTES_BEFORE_REST), 0);
      pace.resultEnded();
    }
  });

  it('never rests while there is more to read, nor twice in a row in vain', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: ROOM }), { minLength: 200, maxLength: 400 });
    fc.assert(
      fc.property(sizes, (reads) => {
        const pace = new ReadPace();
        pace.after(BYTES_BEFORE_REST, BYTES_BEFORE_REST);
        let last: 'read' | 'rest' = 'read';
        for (const bytes of reads) {
          const next = pace.after(bytes, ROOM);
          assert.ok(next === 'read' || (bytes < ROOM && last === 'read'));
          last = next;
        }
      }),
    );
  });
});
