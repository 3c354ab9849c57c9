/**
 * Hostile bodies: no decoder answers one with anything but a message or a WireError. Here's how it
 * works: 1. take random bytes, or a sample of any message with some bytes replaced, cut off, or put
 * in; 2. give them to every decoder, somewhere inside a larger buffer;
 * 3. accept a result or a WireError whose text holds no more than a line.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { WireError } from '@dbbouncer/data-plane/wire/wire-error.ts';
import { decodeCopyResponse } from '@dbbouncer/data-plane/wire/postgres/result-messages.ts';
import { peekSeverity } from '@dbbouncer/data-plane/wire/postgres/error-fields.ts';
import { decodeFirstPacket } from '@dbbouncer/data-plane/wire/postgres/startup-message.ts';
import { backendSamples } from './backend-samples.ts';
import { frontendSamples } from './frontend-samples.ts';

type Decoder = (buffer: Buffer, start: number, end: number) => unknown;

const samples = [...frontendSamples, ...backendSamples];
const decoders: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ...samples.flatMap((sample) =>
    sample.decode === undefined ? [] : [[sample.decode.name, sample.decode] as const],
  ),
  ['decodeCopyResponse', decodeCopyResponse],
  ['decodeFirstPacket', decodeFirstPacket],
  ['peekSeverity', peekSeverity],
]);

const HEADER = 5;
const randomBody = fc.uint8Array({ maxLength: 100 }).map((body) => Buffer.from(body));
const edgeByte = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff, 0x53);
const brokenSample = fc
  .tuple(
    fc.constantFrom(...samples.map((sample) => sample.bytes.subarray(HEADER))),
    fc.array(fc.tuple(fc.nat(300), edgeByte), { maxLength: 4 }),
    fc.constantFrom('keep', 'cut', 'grow'),
    fc.nat(300),
  )
  .map(([sample, changes, size, at]) => {
    const body = Buffer.from(sample);
    for (const [offset, byte] of changes) if (body.length > 0) body[offset % body.length] = byte;
    if (size === 'cut') return body.subarray(0, at % (body.length + 1));
    return size === 'grow' ? Buffer.concat([body, body]) : body;
  });

describe('decoders, given hostile bodies', () => {
  for (const [name, decode] of decoders) {
    it(`${name} answers with a message or a WireError`, () => {
      fc.assert(
        fc.property(fc.oneof(randomBody, brokenSample), fc.nat(9), (body, before) => {
          const buffer = Buffer.concat([Buffer.alloc(before, 0x41), body, Buffer.alloc(50)]);
          try {
            decode(buffer, before, before + body.length);
          } catch (error) {
            assert.ok(error instanceof WireError, `${name}: ${String(error)}`);
            assert.ok(error.reason.length < 120, error.reason);
          }
        }),
        { numRuns: 300 },
      );
    });
  }
});
