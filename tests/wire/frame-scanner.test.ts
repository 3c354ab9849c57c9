/** Frame boundaries of a PostgreSQL stream under every chunking, verdict and violation. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  DROP,
  FORWARD,
  FORWARD_NOW,
  FrameScanner,
  HOLD,
} from '@dbbouncer/data-plane/wire/postgres/frame-scanner.ts';
import type {
  FrameHandler,
  FrameScannerOptions,
  FrameVerdict,
} from '@dbbouncer/data-plane/wire/postgres/frame-scanner.ts';
import { clientBodyBytesMax } from '@dbbouncer/data-plane/wire/postgres/limits.ts';
import { FRONTEND_TYPES } from '@dbbouncer/data-plane/wire/postgres/message-types.ts';
import { WireError } from '@dbbouncer/data-plane/wire/wire-error.ts';
import { bytes, cutAt, message, piecesOf } from '../support/bytes.ts';

const HEADER = 5;

interface Seen {
  readonly type: string;
  readonly body: string;
}

/** Writes down what a scanner tells it. */
class Recorder implements FrameHandler {
  readonly frames: Seen[] = [];
  readonly runs: Buffer[] = [];
  readonly asked: [type: string, bodyLength: number][] = [];
  needed: 'whole' | 'header' = 'header';
  verdictOf: (type: string) => FrameVerdict = () => FORWARD;

  needsBody(type: number, bodyLength: number): boolean {
    this.asked.push([String.fromCharCode(type), bodyLength]);
    return this.needed === 'whole';
  }

  frame(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    const letter = String.fromCharCode(type);
    this.frames.push({ type: letter, body: buffer.toString('latin1', bodyStart, bodyEnd) });
    return this.verdictOf(letter);
  }

  forward(run: Buffer): void {
    this.runs.push(run);
  }

  get forwarded(): string {
    return Buffer.concat(this.runs).toString('latin1');
  }
}

function scannerFor(
  handler: FrameHandler,
  options: Partial<FrameScannerOptions> = {},
): FrameScanner {
  return new FrameScanner({
    handler,
    allowed: new Uint8Array(256).fill(1),
    frameBytesMax: 1_000_000,
    collectBytesMax: 100_000,
    ...options,
  });
}

const hello = message('A', bytes().text('hello'));
const sync = message('S');

describe('FrameScanner', () => {
  it('forwards a chunk in which nothing is dropped as one run, the very same Buffer', () => {
    const seen = new Recorder();
    const chunk = Buffer.concat([hello, sync, hello]);
    assert.equal(scannerFor(seen).push(chunk), chunk.length);
    assert.equal(seen.runs.length, 1);
    assert.equal(seen.runs[0], chunk);
    assert.deepEqual(
      seen.frames.map((frame) => frame.type),
      ['A', 'S', 'A'],
    );
  });

  it('forwards the chunk itself also while a large frame streams through it', () => {
    const seen = new Recorder();
    const scanner = scannerFor(seen);
    const whole = message('D', bytes().text('x'.repeat(1_000)));
    const chunks = piecesOf(whole, 100);
    for (const chunk of chunks) assert.equal(scanner.push(chunk), chunk.length);
    assert.deepEqual(seen.frames, [{ type: 'D', body: 'x'.repeat(95) }]);
    assert.equal(seen.runs.length, chunks.length);
    for (const [i, run] of seen.runs.entries()) assert.equal(run, chunks[i]);
    assert.ok(scanner.atBoundary);
  });

  it('joins neighbours between dropped frames into one run', () => {
    const seen = new Recorder();
    seen.verdictOf = (type) => (type === 'S' ? DROP : FORWARD);
    const chunk = Buffer.concat([sync, hello, hello, sync, sync, hello]);
    scannerFor(seen).push(chunk);
    assert.deepEqual(
      seen.runs.map((run) => run.length),
      [hello.length * 2, hello.length],
    );
  });

  it('passes a frame that ends a run on as the end of that run, however it is cut', () => {
    const stream = Buffer.concat([hello, sync, sync, hello, sync]);
    for (let cut = 0; cut <= stream.length; cut++) {
      for (const needed of ['whole', 'header'] as const) {
        const seen = new Recorder();
        seen.needed = needed;
        seen.verdictOf = (type) => (type === 'S' ? FORWARD_NOW : FORWARD);
        const replies: string[] = [''];
        // As the shared lane does: what is passed on after this frame is somebody else's.
        seen.forward = (run) => {
          replies[replies.length - 1] += run.toString('latin1');
          if (seen.frames.at(-1)?.type === 'S') replies.push('');
        };
        const scanner = scannerFor(seen);
        scanner.push(stream.subarray(0, cut));
        scanner.push(stream.subarray(cut));
        const expected = [Buffer.concat([hello, sync]), sync, Buffer.concat([hello, sync]), ''];
        assert.deepEqual(
          replies,
          expected.map((reply) => reply.toString('latin1')),
          `cut at ${cut}, bodies ${needed}`,
        );
      }
    }
  });

  it('hands a collected frame over in one piece, whatever the chunks', () => {
    for (const size of [1, 2, 3, 4, 5, 6, 7, 9]) {
      const seen = new Recorder();
      seen.needed = 'whole';
      const scanner = scannerFor(seen);
      for (const piece of piecesOf(Buffer.concat([hello, hello]), size)) scanner.push(piece);
      const expected = { type: 'A', body: 'hello' };
      assert.deepEqual(seen.frames, [expected, expected], `pieces of ${size}`);
      assert.deepEqual(seen.asked, [
        ['A', 5],
        ['A', 5],
      ]);
    }
  });

  it('never writes to a run it has handed over, also not to the part of a header', () => {
    for (const needed of ['whole', 'header'] as const) {
      const seen = new Recorder();
      seen.needed = needed;
      const scanner = scannerFor(seen);
      const stream = Buffer.concat(
        Array.from('abcdefgh', (text) => message(text.toUpperCase(), bytes().text(text))),
      );
      // The chunks themselves are kept, as a caller does that hands runs to a socket.
      for (const piece of piecesOf(stream, 4)) scanner.push(piece);
      assert.equal(seen.forwarded, stream.toString('latin1'));
    }
  });

  it('gives the handler what has arrived of a frame whose body it does not need', () => {
    const seen = new Recorder();
    const scanner = scannerFor(seen);
    scanner.push(hello.subarray(0, HEADER));
    scanner.push(hello.subarray(HEADER));
    assert.deepEqual(seen.frames, [{ type: 'A', body: '' }]);
  });

  it('knows whether it is between frames', () => {
    const scanner = scannerFor(new Recorder());
    assert.ok(scanner.atBoundary);
    for (let length = 1; length < hello.length; length++) {
      scanner.push(hello.subarray(length - 1, length));
      assert.ok(!scanner.atBoundary, `after ${length} bytes`);
      assert.throws(() => scanner.end(), WireError);
    }
    scanner.push(hello.subarray(hello.length - 1));
    assert.ok(scanner.atBoundary);
    scanner.end();
  });

  it('says how much of a frame is missing when the stream ends inside it', () => {
    const endAfter = (length: number, needed: 'whole' | 'header') => {
      const seen = new Recorder();
      seen.needed = needed;
      const scanner = scannerFor(seen);
      scanner.push(hello.subarray(0, length));
      return () => scanner.end();
    };
    assert.throws(endAfter(3, 'header'), /ended after 3 of the 5 bytes of a message header/);
    assert.throws(endAfter(8, 'header'), /ended 2 bytes before a message's end/);
    assert.throws(endAfter(8, 'whole'), /ended after 8 of the 10 bytes of a message/);
  });

  it('takes an empty chunk anywhere without a call of its handler', () => {
    const seen = new Recorder();
    const scanner = scannerFor(seen);
    for (const piece of piecesOf(hello, 1)) {
      const calls = seen.frames.length + seen.runs.length + seen.asked.length;
      assert.equal(scanner.push(Buffer.alloc(0)), 0);
      assert.equal(seen.frames.length + seen.runs.length + seen.asked.length, calls);
      scanner.push(piece);
    }
    assert.equal(seen.forwarded, hello.toString('latin1'));
  });
});

describe('FrameScanner, holding a frame', () => {
  it('consumes what precedes it, forwards that, and offers the frame again', () => {
    const seen = new Recorder();
    seen.verdictOf = (type) => (type === 'S' ? HOLD : FORWARD);
    const scanner = scannerFor(seen);
    const chunk = Buffer.concat([hello, sync, hello]);
    assert.equal(scanner.push(chunk), hello.length);
    assert.equal(seen.forwarded, hello.toString('latin1'));
    assert.ok(scanner.atBoundary);

    const rest = chunk.subarray(hello.length);
    assert.equal(scanner.push(rest), 0);
    assert.equal(seen.runs.length, 1);

    seen.verdictOf = () => FORWARD;
    assert.equal(scanner.push(rest), rest.length);
    assert.equal(seen.runs[1], rest);
    assert.deepEqual(
      seen.frames.map((frame) => frame.type),
      ['A', 'S', 'S', 'S', 'A'],
    );
  });

  for (const needed of ['whole', 'header'] as const) {
    it(`keeps what earlier chunks brought of it (${needed}), at every offset`, () => {
      // Judged at its header, a frame is judged once that is whole; no later chunk can hold it.
      const last = needed === 'whole' ? hello.length - 1 : HEADER - 1;
      for (let at = 1; at <= last; at++) {
        const seen = new Recorder();
        seen.needed = needed;
        seen.verdictOf = () => HOLD;
        const scanner = scannerFor(seen);
        const [first, second] = cutAt(hello, [at]) as [Buffer, Buffer];
        assert.equal(scanner.push(first), first.length);
        const tail = Buffer.concat([second, sync]);
        assert.equal(scanner.push(tail), 0, `held at ${at}`);
        assert.equal(scanner.push(tail), 0, `held again at ${at}`);
        assert.ok(!scanner.atBoundary);
        seen.verdictOf = () => FORWARD;
        assert.equal(scanner.push(tail), tail.length);
        assert.equal(seen.forwarded, Buffer.concat([hello, sync]).toString('latin1'));
        const offered = { type: 'A', body: 'hello' };
        assert.deepEqual(seen.frames.slice(0, 3), [offered, offered, offered]);
      }
    });
  }

  it('offers a frame held on sight of its header again with what has arrived since', () => {
    const seen = new Recorder();
    seen.verdictOf = () => HOLD;
    const scanner = scannerFor(seen);
    assert.equal(scanner.push(hello.subarray(0, 6)), 0);
    seen.verdictOf = () => FORWARD;
    assert.equal(scanner.push(hello), hello.length);
    assert.deepEqual(
      seen.frames.map((frame) => frame.body),
      ['h', 'hello'],
    );
    assert.equal(seen.runs[0], hello);
  });
});

describe('FrameScanner, refusing', () => {
  const refusal = (bad: Buffer, options: Partial<FrameScannerOptions> = {}) => {
    const seen = new Recorder();
    seen.needed = 'whole';
    const scanner = scannerFor(seen, options);
    return { seen, scanner, push: () => scanner.push(bad) };
  };
  const declaring = (type: string, length: number) =>
    bytes().text(type).int32(length).text('body').toBuffer();

  it('refuses lengths below 4, negative ones too, with both numbers', () => {
    for (const length of [0, 1, 2, 3, -1, -2_147_483_648]) {
      const { push } = refusal(declaring('Q', length));
      assert.throws(push, {
        name: 'WireError',
        reason: `message 0x51 'Q' declares a length of ${length}, 4 is the least`,
      });
    }
  });

  it('refuses a body of 101 bytes when frameBytesMax is 100, on sight of its header', () => {
    const { push, scanner } = refusal(declaring('Q', 105), { frameBytesMax: 100 });
    assert.throws(push, /'Q' declares a body of 101 bytes, 100 is the limit/);
    assert.throws(() => scanner.push(sync), { name: 'InvariantViolation' });
    const most = refusal(message('Q', bytes().text('x'.repeat(100))), { frameBytesMax: 100 });
    most.push();
    assert.equal(most.seen.frames.length, 1);
  });

  it('refuses a 2 GB length without reserving memory for it', () => {
    const { push } = refusal(declaring('Q', 0x7fffffff), { frameBytesMax: 0x3fffffff });
    assert.throws(push, /declares a body of 2147483643 bytes, 1073741823 is the limit/);
  });

  it('refuses to collect a body of 51 bytes when collectBytesMax is 50, but passes it on', () => {
    const large = message('Q', bytes().text('x'.repeat(51)));
    for (const at of [HEADER, 20]) {
      const { push, seen } = refusal(large.subarray(0, at), { collectBytesMax: 50 });
      assert.throws(push, /'Q' of 51 bytes cannot be collected, 50 is the limit/);
      assert.deepEqual(seen.frames, []);
    }
    const most = message('Q', bytes().text('x'.repeat(50)));
    const atLimit = refusal(most.subarray(0, 20), { collectBytesMax: 50 });
    atLimit.push();
    atLimit.scanner.push(most.subarray(20));
    assert.equal(atLimit.seen.frames[0]?.body.length, 50);
    const passing = new Recorder();
    const scanner = scannerFor(passing, { collectBytesMax: 50 });
    for (const piece of piecesOf(large, 20)) scanner.push(piece);
    assert.equal(passing.forwarded, large.toString('latin1'));
    const arrivedWhole = refusal(large, { collectBytesMax: 50 });
    arrivedWhole.push();
    assert.equal(arrivedWhole.seen.frames[0]?.body.length, 51);
  });

  it('passes on the frames before one that its handler refuses', () => {
    const { seen, scanner } = refusal(sync);
    seen.verdictOf = (type) => {
      if (type === 'X') throw new WireError('not this one');
      return type === 'D' ? DROP : FORWARD;
    };
    const chunk = Buffer.concat([hello, message('D'), sync, hello, message('X'), hello]);
    assert.throws(() => scanner.push(chunk), /not this one/);
    assert.equal(seen.forwarded, Buffer.concat([hello, sync, hello]).toString('latin1'));
  });

  it('refuses the same when the header lies across chunks', () => {
    for (let at = 1; at < HEADER; at++) {
      const [first, second] = cutAt(declaring('Q', 3), [at]) as [Buffer, Buffer];
      const { scanner } = refusal(first);
      scanner.push(first);
      assert.throws(() => scanner.push(second), /declares a length of 3/);
    }
    const { scanner } = refusal(sync, { collectBytesMax: 50 });
    const large = declaring('Q', 55);
    scanner.push(large.subarray(0, 3));
    assert.throws(() => scanner.push(large.subarray(3)), /51 bytes cannot be collected, 50 is/);
  });

  it('refuses a type this peer may not send, and shows it', () => {
    const options = { allowed: FRONTEND_TYPES };
    assert.throws(refusal(message('Z'), options).push, /0x5a 'Z' is not one this peer may send/);
    assert.throws(refusal(Buffer.alloc(5), options).push, /message 0x00 is not one this peer/);
  });

  it('has forwarded the frames before the bad one', () => {
    const { push, seen } = refusal(Buffer.concat([hello, sync, declaring('Q', 3)]));
    assert.throws(push, WireError);
    assert.equal(seen.forwarded, Buffer.concat([hello, sync]).toString('latin1'));
  });

  it("takes a client's messages up to PostgreSQL's own limits and no further", () => {
    const largest: Readonly<Record<string, number>> = {
      ...Object.fromEntries('QPBFd'.split('').map((type) => [type, 0x3ffffffe])),
      ...Object.fromEntries('DCEf'.split('').map((type) => [type, 10_000])),
      ...Object.fromEntries('HSXc'.split('').map((type) => [type, 4])),
    };
    for (const [type, length] of Object.entries(largest)) {
      const options = { allowed: FRONTEND_TYPES, bodyBytesMax: clientBodyBytesMax };
      const scannerOf = (seen: Recorder) =>
        new FrameScanner({ handler: seen, collectBytesMax: 1, ...options });
      const seen = new Recorder();
      scannerOf(seen).push(declaring(type, length));
      assert.equal(seen.frames.length, 1, type);
      const limit = `declares a body of ${length - 3} bytes, ${length - 4} is the limit`;
      assert.throws(() => scannerOf(seen).push(declaring(type, length + 1)), new RegExp(limit));
    }
  });

  it('keeps 200 peers that announce 16 MB and send nothing below 10 MB of memory', () => {
    const before = process.memoryUsage().arrayBuffers;
    const scanners = Array.from({ length: 200 }, () => {
      const seen = new Recorder();
      seen.needed = 'whole';
      const bound = 16 * 1024 * 1024;
      return scannerFor(seen, { frameBytesMax: bound, collectBytesMax: bound });
    });
    for (const scanner of scanners) scanner.push(declaring('Q', 16 * 1024 * 1024));
    const held = process.memoryUsage().arrayBuffers - before;
    assert.ok(held < 10 * 1024 * 1024, `${held} bytes for ${scanners.length} scanners`);
  });

  it('is of no use after its handler threw, or when pushed from inside its handler', () => {
    const seen = new Recorder();
    const scanner = scannerFor(seen);
    seen.verdictOf = () => {
      scanner.push(sync);
      return FORWARD;
    };
    assert.throws(() => scanner.push(hello), /push\(\) while the scanner is scanning/);
    assert.throws(() => scanner.push(hello), /push\(\) while the scanner is failed/);
  });

  it('is not made without a limit, or with flags for other than 256 types', () => {
    const handler = new Recorder();
    const allowed = new Uint8Array(256);
    assert.throws(
      () => new FrameScanner({ handler, allowed, collectBytesMax: 1 }),
      /needs frameBytesMax or bodyBytesMax/,
    );
    assert.throws(() => scannerFor(handler, { allowed: new Uint8Array(255) }), /256, not 255/);
  });
});
