/**
 * What holds for any stream, any chunking and any handler. Here's how it works:
 * 1. draw frames, each with a type, a body, a verdict, how often it is held first, and whether its
 * body is needed; 2. cut their bytes at random offsets and push them, as a session does: what a
 *   HOLD leaves over is pushed again, alone or joined with the next chunk; pushed bytes are
 * overwritten, so nothing borrowed survives; 3. compare with what the frames alone say.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  DROP,
  FORWARD,
  FORWARD_NOW,
  FrameScanner,
  HOLD,
} from '@dbbouncer/data-plane/wire/postgres/frame-scanner.ts';
import type {
  FrameHandler,
  FrameVerdict,
} from '@dbbouncer/data-plane/wire/postgres/frame-scanner.ts';
import { WireError } from '@dbbouncer/data-plane/wire/wire-error.ts';
import { bytes, cutAt, message } from '../support/bytes.ts';

interface PlannedFrame {
  readonly letter: string;
  readonly body: Uint8Array;
  readonly verdict: typeof FORWARD | typeof FORWARD_NOW | typeof DROP;
  readonly holds: number;
  readonly needed: boolean;
}

const plannedFrame: fc.Arbitrary<PlannedFrame> = fc.record({
  letter: fc.constantFrom(...'QPBDECdcfHSX'.split('')),
  body: fc.uint8Array({ maxLength: 40 }),
  verdict: fc.constantFrom(FORWARD, FORWARD_NOW, DROP),
  holds: fc.constantFrom(0, 0, 0, 1, 2),
  needed: fc.boolean(),
});

const wireBytes = ({ letter, body }: PlannedFrame) => message(letter, bytes().raw(...body));

/** Plays the plan, and checks each call against it. */
class PlanPlayer implements FrameHandler {
  readonly #plan: readonly PlannedFrame[];
  readonly #holdsLeft: number[];
  /** Index of the frame that is due. */
  due = 0;
  forwarded: Buffer[] = [];
  /** Offset in the whole stream up to which frames have a verdict. */
  judgedTo = 0;

  constructor(plan: readonly PlannedFrame[]) {
    this.#plan = plan;
    this.#holdsLeft = plan.map((frame) => frame.holds);
  }

  #current(type: number): PlannedFrame {
    const frame = this.#plan[this.due];
    assert.ok(frame !== undefined, 'no more frames than were sent');
    assert.equal(String.fromCharCode(type), frame.letter);
    return frame;
  }

  needsBody(type: number, bodyLength: number): boolean {
    const frame = this.#current(type);
    assert.equal(bodyLength, frame.body.length);
    return frame.needed;
  }

  frame(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    const frame = this.#current(type);
    this.#checkPassedOn();
    const arrived = buffer.subarray(bodyStart, bodyEnd);
    const expected = frame.needed ? frame.body : frame.body.subarray(0, arrived.length);
    assert.deepEqual(new Uint8Array(arrived), expected);
    const holdsLeft = this.#holdsLeft[this.due] as number;
    if (holdsLeft > 0) {
      this.#holdsLeft[this.due] = holdsLeft - 1;
      return HOLD;
    }
    this.due++;
    return frame.verdict;
  }

  /** A whole frame that was to go at once has gone before the next one is judged. */
  #checkPassedOn(): void {
    const former = this.#plan[this.due - 1];
    if (former?.verdict !== FORWARD_NOW || !former.needed) return;
    const due = this.#plan.slice(0, this.due).filter(({ verdict }) => verdict !== DROP);
    assert.deepEqual(Buffer.concat(this.forwarded), Buffer.concat(due.map(wireBytes)));
  }

  forward(run: Buffer): void {
    assert.ok(run.length > 0, 'no empty runs');
    this.forwarded.push(Buffer.from(run));
  }
}

/** Pushes all chunks; `join` says at which chunks a rest waits for the next one. */
function play(plan: readonly PlannedFrame[], cuts: readonly number[], join: readonly boolean[]) {
  const player = new PlanPlayer(plan);
  const scanner = new FrameScanner({
    handler: player,
    allowed: new Uint8Array(256).fill(1),
    frameBytesMax: 40,
    collectBytesMax: 40,
  });
  let rest: Buffer = Buffer.alloc(0);
  const pushOnce = () => {
    const pushed = Buffer.from(rest);
    const consumed = scanner.push(pushed);
    rest = Buffer.from(rest.subarray(consumed));
    pushed.fill(0xee);
  };
  const chunks = cutAt(Buffer.concat(plan.map(wireBytes)), cuts);
  for (const [i, chunk] of chunks.entries()) {
    rest = Buffer.concat([rest, chunk]);
    pushOnce();
    while (rest.length > 0 && (join[i % join.length] !== true || i === chunks.length - 1)) {
      pushOnce();
    }
  }
  scanner.end();
  return player;
}

describe('FrameScanner, for any frames, chunks and verdicts', () => {
  const maxCut = 5 * 40;
  it('forwards exactly the bytes of the frames that were to be forwarded, in order', () => {
    fc.assert(
      fc.property(
        fc.array(plannedFrame, { maxLength: 8 }),
        fc.array(fc.nat(maxCut), { maxLength: 12 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
        (plan, offsets, join) => {
          const total = Buffer.concat(plan.map(wireBytes)).length;
          const player = play(
            plan,
            offsets.map((offset) => Math.min(offset, total)),
            join,
          );
          assert.equal(player.due, plan.length);
          const expected = plan.filter((frame) => frame.verdict !== DROP).map(wireBytes);
          assert.deepEqual(Buffer.concat(player.forwarded), Buffer.concat(expected));
        },
      ),
      { numRuns: 1_500 },
    );
  });

  it('does so in one-byte chunks', () => {
    fc.assert(
      fc.property(fc.array(plannedFrame, { maxLength: 4 }), (plan) => {
        const total = Buffer.concat(plan.map(wireBytes)).length;
        const everywhere = Array.from({ length: Math.max(0, total - 1) }, (_, i) => i + 1);
        const player = play(plan, everywhere, [false]);
        const expected = plan.filter((frame) => frame.verdict !== DROP).map(wireBytes);
        assert.deepEqual(Buffer.concat(player.forwarded), Buffer.concat(expected));
      }),
      { numRuns: 200 },
    );
  });

  it('meets random bytes with frames or a WireError, and never collects beyond its limit', () => {
    const stream = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 10 });
    fc.assert(
      fc.property(stream, fc.boolean(), (chunks, needed) => {
        let largest = 0;
        const scanner = new FrameScanner({
          handler: {
            needsBody: () => needed,
            frame(_type, _buffer, bodyStart, bodyEnd) {
              largest = Math.max(largest, bodyEnd - bodyStart);
              return FORWARD;
            },
            forward: () => {},
          },
          allowed: new Uint8Array(256).fill(1, 0x30),
          frameBytesMax: 0x7fffffff,
          collectBytesMax: 70,
        });
        try {
          for (const chunk of chunks) scanner.push(Buffer.from(chunk));
          scanner.end();
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
        assert.ok(largest <= 70);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('FrameScanner, on 64 KB of small frames', () => {
  it('allocates nothing per frame: less than a byte each, as the heap counts them', () => {
    const sync = message('S');
    const chunk = Buffer.concat(Array.from({ length: 13_107 }, () => sync));
    const scanner = new FrameScanner({
      handler: { needsBody: () => true, frame: () => FORWARD, forward: () => {} },
      allowed: new Uint8Array(256).fill(1),
      frameBytesMax: 100,
      collectBytesMax: 100,
    });
    for (let i = 0; i < 200; i++) scanner.push(chunk);
    const growth = Array.from({ length: 51 }, () => {
      const before = process.memoryUsage().heapUsed;
      scanner.push(chunk);
      return process.memoryUsage().heapUsed - before;
    });
    const median = growth.toSorted((a, b) => a - b)[25] as number;
    assert.ok(median < 13_107, `${median} bytes for 13107 frames`);
  });
});
