/**
 * Ways to break a stream of messages: lengths, types, order, ends, and bytes that nobody meant.
 * Owns: how a stream is broken. Leaves: what comes of it to the tests.
 */
import fc from 'fast-check';

/** Whole messages in order; each has a type byte and a length unless it is a first packet. */
export type Frames = readonly Buffer[];

export interface Break {
  readonly how: keyof typeof BREAKS;
  /** Which message, or which byte; taken modulo what there is. */
  readonly at: number;
  readonly bytes: Uint8Array;
}

const LENGTHS = [-2_147_483_648, -1, 0, 3, 4, 5, 8, 1_000, 65_536, 1_073_741_825, 2_147_483_647];

const BREAKS = {
  length: (frames: Frames, at: number, [choice = 0]: Uint8Array) =>
    changed(frames, at, (frame) => {
      if (frame.length >= 5) frame.writeInt32BE(LENGTHS[choice % LENGTHS.length] ?? 0, 1);
    }),
  'length by a few': (frames: Frames, at: number, [choice = 0]: Uint8Array) =>
    changed(frames, at, (frame) => {
      if (frame.length >= 5) frame.writeInt32BE(frame.length - 1 + ((choice % 9) - 4), 1);
    }),
  type: (frames: Frames, at: number, [type = 0]: Uint8Array) =>
    changed(frames, at, (frame) => void frame.writeUInt8(type, 0)),
  byte: (frames: Frames, at: number, [value = 0]: Uint8Array) => {
    const whole = Buffer.concat(frames);
    if (whole.length > 0) whole.writeUInt8(value, at % whole.length);
    return whole;
  },
  'a few NULs': (frames: Frames, at: number, { length }: Uint8Array) => {
    const whole = Buffer.concat(frames);
    const place = at % whole.length;
    return whole.fill(0, place, Math.min(whole.length, place + length + 1));
  },
  'without NULs': (frames: Frames, at: number) =>
    changed(frames, at, (frame) => {
      for (let i = 5; i < frame.length; i++) if (frame[i] === 0) frame[i] = 0x41;
    }),
  'cut off': (frames: Frames, at: number) => {
    const whole = Buffer.concat(frames);
    return whole.subarray(0, at % whole.length);
  },
  'bytes between': (frames: Frames, at: number, bytes: Uint8Array) => {
    const whole = Buffer.concat(frames);
    const place = at % whole.length;
    return Buffer.concat([whole.subarray(0, place), bytes, whole.subarray(place)]);
  },
  'bytes missing': (frames: Frames, at: number, { length }: Uint8Array) => {
    const whole = Buffer.concat(frames);
    const place = at % whole.length;
    return Buffer.concat([whole.subarray(0, place), whole.subarray(place + length + 1)]);
  },
  'said twice': (frames: Frames, at: number) => {
    const place = at % frames.length;
    return Buffer.concat([...frames.slice(0, place + 1), ...frames.slice(place)]);
  },
  'in another order': (frames: Frames, at: number) => {
    const place = at % frames.length;
    return Buffer.concat([...frames.slice(place), ...frames.slice(0, place)]);
  },
  'a message of its own': (frames: Frames, at: number, bytes: Uint8Array) => {
    const place = at % frames.length;
    const head = Buffer.alloc(5);
    head.writeUInt8(FRONTEND_LETTERS.charCodeAt(at % FRONTEND_LETTERS.length), 0);
    head.writeInt32BE(4 + bytes.length, 1);
    return Buffer.concat([...frames.slice(0, place), head, bytes, ...frames.slice(place)]);
  },
} as const satisfies Record<string, (frames: Frames, at: number, bytes: Uint8Array) => Buffer>;

/** All that a frontend may send, and some that only a backend does. */
const FRONTEND_LETTERS = 'QPBDECSHFdcfpXRKZTtn~\u0000';

function changed(frames: Frames, at: number, change: (frame: Buffer) => void): Buffer {
  const place = at % frames.length;
  return Buffer.concat(
    frames.map((frame, i) => {
      if (i !== place) return frame;
      const own = Buffer.from(frame);
      change(own);
      return own;
    }),
  );
}

export function broken(frames: Frames, { how, at, bytes }: Break): Buffer {
  return BREAKS[how](frames, at, bytes);
}

export const anyBreak: fc.Arbitrary<Break> = fc.record({
  how: fc.constantFrom(...(Object.keys(BREAKS) as (keyof typeof BREAKS)[])),
  at: fc.nat(5_000),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
});

/** Cuts well-formed messages apart. */
export function framesOf(stream: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < stream.length;) {
    const end = at + 1 + stream.readInt32BE(at + 1);
    frames.push(stream.subarray(at, end));
    at = end;
  }
  return frames;
}
