/** Every PostgreSQL message in both roles: its bytes, its meaning, and what is refused. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as backend from '@dbbouncer/data-plane/wire/postgres/backend-messages.ts';
import * as frontend from '@dbbouncer/data-plane/wire/postgres/frontend-messages.ts';
import * as result from '@dbbouncer/data-plane/wire/postgres/result-messages.ts';
import * as auth from '@dbbouncer/data-plane/wire/postgres/authentication-messages.ts';
import { DROP, FrameScanner } from '@dbbouncer/data-plane/wire/postgres/frame-scanner.ts';
import { COLLECT_BYTES_MAX } from '@dbbouncer/data-plane/wire/postgres/limits.ts';
import {
  backendTypeName,
  frontendTypeName,
  FRONTEND_LOGIN_TYPES,
} from '@dbbouncer/data-plane/wire/postgres/message-types.ts';
import { WireError } from '@dbbouncer/data-plane/wire/wire-error.ts';
import { bytes, cutAt, message, piecesOf } from '../support/bytes.ts';
import { backendSamples } from './backend-samples.ts';
import { frontendSamples } from './frontend-samples.ts';
import type { Sample } from './sample.ts';

const HEADER = 5;
const body = (whole: Buffer) => whole.subarray(HEADER);

for (const [direction, samples] of [
  ['frontend', frontendSamples],
  ['backend', backendSamples],
] as const) {
  for (const sample of samples) {
    const { name, decode } = sample;
    describe(`${direction} ${name}`, () => {
      it('is encoded to the bytes of the manual', () => {
        assert.deepEqual(sample.encoded, sample.bytes);
      });
      if (decode === undefined) return;

      it('is decoded from a body that lies inside a larger buffer', () => {
        const around = Buffer.concat([Buffer.from('before'), sample.bytes, Buffer.from('after')]);
        const start = 'before'.length + HEADER;
        const end = around.length - 'after'.length;
        assert.deepEqual(decode(around, start, end), sample.decoded);
      });

      it('is decoded the same when the stream is split at any offset, or into single bytes', () => {
        const stream = Buffer.concat([sample.bytes, sample.bytes]);
        const expected = [sample.decoded, sample.decoded];
        for (let at = 0; at <= stream.length; at++) {
          assert.deepEqual(decodeStream(cutAt(stream, [at]), decode), expected, `split at ${at}`);
        }
        assert.deepEqual(decodeStream(piecesOf(stream, 1), decode), expected);
      });

      if (sample.shape === 'open') return;
      it('is refused when its body is one byte longer, or shorter by any number', () => {
        const whole = body(sample.bytes);
        const longer = Buffer.concat([whole, Buffer.from([0])]);
        assert.throws(() => decode(longer), WireError, 'longer by 1');
        for (let length = 0; length < whole.length; length++) {
          assert.throws(() => decode(whole, 0, length), WireError, `${length} of ${whole.length}`);
        }
      });
    });
  }
}

/** Scans chunks that are overwritten as soon as they were pushed, collecting every body. */
function decodeStream(chunks: readonly Buffer[], decode: NonNullable<Sample['decode']>): unknown[] {
  const decoded: unknown[] = [];
  const scanner = new FrameScanner({
    handler: {
      needsBody: () => true,
      frame(_type, buffer, start, end) {
        decoded.push(decode(Buffer.from(buffer), start, end));
        return DROP;
      },
      forward: () => assert.fail('all frames are dropped'),
    },
    allowed: new Uint8Array(256).fill(1),
    frameBytesMax: COLLECT_BYTES_MAX,
    collectBytesMax: COLLECT_BYTES_MAX,
  });
  for (const chunk of chunks) {
    const own = Buffer.from(chunk);
    assert.equal(scanner.push(own), own.length);
    own.fill(0xee);
  }
  scanner.end();
  return decoded;
}

describe('frontend messages', () => {
  it('refuse a count that the body has no room for, before they allocate for it', () => {
    const parse = bytes().cstring('').cstring('select 1').int16(65_535).toBuffer();
    assert.throws(() => frontend.decodeParse(parse), /65535 entries need 262140 bytes, 0 are left/);
  });

  it('refuse negative and overlong lengths of SASLInitialResponse, with both numbers', () => {
    const of = (length: number) => bytes().cstring('X').int32(length).text('abc').toBuffer();
    assert.throws(
      () => frontend.decodeSASLInitialResponse(of(-2)),
      /declares -2 bytes, at least 0/,
    );
    assert.throws(
      () => frontend.decodeSASLInitialResponse(of(0x7fffffff)),
      /needs 2147483647 bytes, 3 are left/,
    );
    assert.throws(() => frontend.decodeSASLInitialResponse(of(2)), /1 bytes are left/);
  });

  it('tell a SASLInitialResponse without data (-1) from one with empty data (0)', () => {
    const of = (length: number) => bytes().cstring('X').int32(length).toBuffer();
    assert.equal(frontend.decodeSASLInitialResponse(of(-1)).data, undefined);
    assert.deepEqual(frontend.decodeSASLInitialResponse(of(0)).data, Buffer.alloc(0));
  });

  it('refuse to describe or close anything but a statement or a portal', () => {
    const other = bytes().text('X').cstring('s').toBuffer();
    assert.throws(() => frontend.decodeDescribe(other), /Describe: kind 88, 83 or 80 expected/);
    assert.throws(() => frontend.decodeClose(other), /Close: kind 88/);
  });

  it('refuse a string that has no end inside the body, even if one follows behind it', () => {
    const text = 'x'.repeat(200);
    const buffer = bytes().cstring(text).toBuffer();
    assert.throws(() => frontend.decodeQuery(buffer, 0, 200), /no end within the 200 bytes left/);
    assert.equal(frontend.decodeQuery(buffer, 0, 201).sql, text);
  });

  it('keep every byte of a name or a text that is read as latin1', () => {
    const allBytes = Array.from({ length: 255 }, (_, i) => i + 1);
    const name = Buffer.from(allBytes);
    const raw = bytes()
      .raw(...allBytes, 0)
      .raw(...allBytes, 0)
      .int16(0)
      .toBuffer();
    const parse = frontend.decodeParse(raw, 0, raw.length, 'latin1');
    assert.deepEqual(Buffer.from(parse.statement, 'latin1'), name);
    assert.deepEqual(body(frontend.encodeParse(parse, 'latin1')), raw);
  });

  it('refuse a zero byte in any text they write: what follows it would be another field', () => {
    const bad = 'a\0b';
    for (const encode of [
      () => frontend.encodeQuery(bad),
      () => frontend.encodeParse({ statement: bad, sql: '', parameterTypes: [] }),
      () => frontend.encodeParse({ statement: '', sql: bad, parameterTypes: [] }),
      () => frontend.encodeBind({ portal: bad }),
      () => frontend.encodeBind({ statement: bad }),
      () => frontend.encodeDescribe({ target: 'portal', name: bad }),
      () => frontend.encodeExecute({ portal: bad, maxRows: 0 }),
      () => frontend.encodeClose({ target: 'portal', name: bad }),
      () => frontend.encodeCopyFail(bad),
      () => frontend.encodePasswordMessage(bad),
      () => frontend.encodeSASLInitialResponse(bad, ''),
    ]) {
      assert.throws(encode, /a text of 3 characters holds a zero byte at 1/);
    }
  });

  it('refuse the 65,536th parameter, which a 16 bit count cannot say', () => {
    const parameterTypes = new Array<number>(65_536).fill(23);
    const values = new Array<null>(65_536).fill(null);
    assert.throws(
      () => frontend.encodeParse({ statement: '', sql: '', parameterTypes }),
      /65536 parameter types, 65535 is the limit/,
    );
    assert.throws(() => frontend.encodeBind({ values }), /65536 parameters, 65535 is the limit/);
    const most = frontend.encodeParse({
      statement: '',
      sql: '',
      parameterTypes: parameterTypes.slice(1),
    });
    assert.equal(frontend.decodeParse(body(most)).parameterTypes.length, 65_535);
  });

  it('have no body where they have no fields', () => {
    frontend.decodeEmpty('Sync', 7, 7);
    assert.throws(() => frontend.decodeEmpty('Sync', 7, 9), /Sync: a body of 2 bytes, 0 expected/);
  });

  it('decode Parse, Execute and Close to what was encoded, whatever the names', () => {
    const text = fc.string({ unit: 'binary' }).filter((name) => !name.includes('\0'));
    fc.assert(
      fc.property(text, text, fc.array(fc.nat(0xffffffff)), fc.nat(0x7fffffff), (a, b, oids, n) => {
        const parse = { statement: a, sql: b, parameterTypes: oids };
        assert.deepEqual(frontend.decodeParse(body(frontend.encodeParse(parse))), parse);
        const execute = { portal: a, maxRows: n };
        assert.deepEqual(frontend.decodeExecute(body(frontend.encodeExecute(execute))), execute);
        const close = { target: 'portal', name: b } as const;
        assert.deepEqual(frontend.decodeClose(body(frontend.encodeClose(close))), close);
      }),
    );
  });
});

describe('backend messages', () => {
  it('read an unknown kind of Authentication as unsupported, with its code', () => {
    const gss = bytes().int32(7).toBuffer();
    assert.deepEqual(auth.decodeAuthentication(gss), { kind: 'unsupported', code: 7 });
    const gssContinue = bytes().int32(8).raw(1, 2, 3).toBuffer();
    assert.deepEqual(auth.decodeAuthentication(gssContinue), { kind: 'unsupported', code: 8 });
  });

  it('refuse a ReadyForQuery status that is not I, T or E', () => {
    assert.throws(() => backend.decodeReadyForQuery(Buffer.from('X')), /status 0x58 'X'/);
    assert.throws(() => backend.decodeReadyForQuery(Buffer.from([0])), /status 0x00,/);
  });

  it('refuse a cancel key of 3 or of 257 bytes, in both directions', () => {
    for (const length of [3, 257]) {
      const key = { processId: 1, secretKey: Buffer.alloc(length) };
      const raw = bytes()
        .int32(1)
        .raw(...key.secretKey)
        .toBuffer();
      const text = new RegExp(`a cancel key of ${length} bytes, between 4 and 256`);
      assert.throws(() => backend.decodeBackendKeyData(raw), text);
      assert.throws(() => backend.encodeBackendKeyData(key), text);
    }
  });

  it('skip unknown fields of an error, and take the last of a field given twice', () => {
    const raw = bytes()
      .text('Z')
      .cstring('new')
      .text('M')
      .cstring('first')
      .text('M')
      .cstring('second')
      .raw(200)
      .cstring('')
      .int8(0);
    assert.deepEqual(backend.decodeErrorFields(raw.toBuffer()), {
      severity: 'ERROR',
      code: 'XX000',
      message: 'second',
    });
  });

  it('write an error whose text quotes a zero byte without ending the field there', () => {
    const frame = backend.encodeErrorResponse({
      severity: 'FATAL',
      code: '28P01',
      message: 'a\0b',
    });
    assert.equal(backend.decodeErrorFields(body(frame)).message, 'a\uFFFDb');
  });

  it('tell the severity from as much of an error as has arrived', () => {
    const raw = bytes().text('S').cstring('SCHWERWIEGEND').text('V').cstring('FATAL').text('C');
    const whole = raw.cstring('57P01').int8(0).toBuffer();
    const seen = Array.from(whole, (_, end) => backend.peekSeverity(whole, 0, end));
    assert.deepEqual([...new Set(seen)], ['', 'SCHWERWIEGEND', 'FATAL']);
    assert.equal(backend.peekSeverity(whole), 'FATAL');
    assert.equal(backend.peekSeverity(Buffer.alloc(0)), '');
  });

  it('refuse more columns than a row declares room for, and values longer than the row', () => {
    const row = (length: number) => bytes().int16(1).int32(length).text('ab').toBuffer();
    assert.throws(() => result.decodeDataRow(row(3)), /needs 3 bytes, 2 are left/);
    assert.throws(() => result.decodeDataRow(row(-2)), /declares -2 bytes/);
    assert.throws(() => result.decodeDataRow(row(1)), /1 bytes are left after its last field/);
    const columns = bytes().int16(2).toBuffer();
    assert.throws(
      () => result.decodeRowDescription(columns),
      /2 entries need 38 bytes, 0 are left/,
    );
  });

  it('refuse a format code that is neither text nor binary', () => {
    const copy = bytes().int8(2).int16(0).toBuffer();
    assert.throws(() => result.decodeCopyResponse(copy), /format 2, 0 or 1 expected/);
  });

  it('refuse a count of options that cannot be in the message', () => {
    const raw = bytes().int32(0x00030000).int32(0x7fffffff).toBuffer();
    assert.throws(() => backend.decodeNegotiateProtocolVersion(raw), /2147483647 entries need/);
  });

  it('decode rows and errors to what was encoded, whatever the texts', () => {
    const text = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(fc.array(fc.option(text)), text, (row, raw) => {
        assert.deepEqual(result.decodeDataRow(body(result.encodeDataRow(row))), row);
        const safe = raw.replaceAll('\0', '');
        const fields = { severity: 'ERROR', code: '57014', message: safe, routine: safe };
        const frame = backend.encodeErrorResponse(fields);
        assert.deepEqual(backend.decodeErrorFields(body(frame)), fields);
      }),
    );
  });
});

describe('message types', () => {
  it('are named by direction', () => {
    assert.equal(frontendTypeName(0x53), 'Sync');
    assert.equal(backendTypeName(0x53), 'ParameterStatus');
    assert.equal(backendTypeName(0x07), 'unknown message 0x07');
  });

  it('allow each sample in its direction, and password messages during login only', () => {
    for (const { name, bytes: whole } of frontendSamples) {
      const type = whole[0] as number;
      const isPassword = type === frontend.FRONTEND.Password;
      assert.equal(frontend.FRONTEND_TYPES[type], isPassword ? 0 : 1, name);
      assert.equal(FRONTEND_LOGIN_TYPES[type], isPassword ? 1 : 0, name);
    }
    for (const { name, bytes: whole } of backendSamples) {
      assert.equal(backend.BACKEND_TYPES[whole[0] as number], 1, name);
    }
    assert.equal(
      backend.BACKEND_TYPES.reduce((sum, flag) => sum + flag),
      24,
    );
    assert.equal(frontend.FRONTEND_TYPES[message('p')[0] as number], 0);
  });
});
