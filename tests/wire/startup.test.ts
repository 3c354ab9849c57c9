/** First packets of a PostgreSQL connection, and the command line inside `options`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decodeFirstPacket,
  encodeCancelRequest,
  encodeGSSENCRequest,
  encodeSSLRequest,
  encodeStartupMessage,
  FirstPacketReader,
} from '@dbbouncer/data-plane/wire/postgres/startup-message.ts';
import type { FirstPacketArrival } from '@dbbouncer/data-plane/wire/postgres/startup-message.ts';
import {
  formatOptions,
  parseOptions,
  splitOptions,
} from '@dbbouncer/data-plane/wire/postgres/startup-options.ts';
import { WireError } from '@dbbouncer/data-plane/wire/wire-error.ts';
import { bytes, cutAt, packet, piecesOf } from '../support/bytes.ts';
import type { Bytes } from '../support/bytes.ts';

const startup = (minor = 0) => bytes().int16(3).int16(minor);
const request = (minor: number) => bytes().int16(1234).int16(minor);
const NONE = Buffer.alloc(0);

const samples = [
  {
    name: 'StartupMessage',
    bytes: packet(
      startup(2)
        .cstring('user')
        .cstring('ärger')
        .cstring('database')
        .cstring('shop')
        .cstring('options')
        .cstring('')
        .int8(0),
    ),
    encoded: encodeStartupMessage({
      minor: 2,
      parameters: [
        ['user', 'ärger'],
        ['database', 'shop'],
        ['options', ''],
      ],
    }),
    packet: {
      kind: 'startup',
      major: 3,
      minor: 2,
      parameters: new Map([
        ['user', 'ärger'],
        ['database', 'shop'],
        ['options', ''],
      ]),
      protocolOptions: [],
    },
  },
  {
    name: 'StartupMessage without parameters',
    bytes: packet(startup().int8(0)),
    encoded: encodeStartupMessage({ parameters: [] }),
    packet: { kind: 'startup', major: 3, minor: 0, parameters: new Map(), protocolOptions: [] },
  },
  {
    name: 'SSLRequest',
    bytes: packet(request(5679)),
    encoded: encodeSSLRequest(),
    packet: { kind: 'ssl_request' },
  },
  {
    name: 'GSSENCRequest',
    bytes: packet(request(5680)),
    encoded: encodeGSSENCRequest(),
    packet: { kind: 'gss_enc_request' },
  },
  ...[4, 32, 256].map((length) => {
    const key = { processId: -5, secretKey: Buffer.alloc(length, 7) };
    return {
      name: `CancelRequest with a key of ${length} bytes`,
      bytes: packet(
        request(5678)
          .int32(-5)
          .raw(...key.secretKey),
      ),
      encoded: encodeCancelRequest(key),
      packet: { kind: 'cancel_request', key },
    };
  }),
];

function read(chunks: readonly Buffer[]): FirstPacketArrival {
  const reader = new FirstPacketReader();
  for (const [i, chunk] of chunks.entries()) {
    const own = Buffer.from(chunk);
    const arrival = reader.push(own);
    if (arrival !== 'incomplete') {
      const rest = Buffer.concat([arrival.rest, ...chunks.slice(i + 1)]);
      return { packet: arrival.packet, rest };
    }
    own.fill(0xee);
  }
  throw new Error('incomplete');
}

for (const sample of samples) {
  describe(sample.name, () => {
    it('is encoded to the bytes of the manual', () => {
      assert.deepEqual(sample.encoded, sample.bytes);
    });

    it('is read the same when split at any offset, or into single bytes, with its rest', () => {
      const stream = Buffer.concat([sample.bytes, Buffer.from('rest')]);
      const expected = { packet: sample.packet, rest: Buffer.from('rest') };
      for (let at = 0; at <= stream.length; at++) {
        assert.deepEqual(read(cutAt(stream, [at])), expected, `split at ${at}`);
      }
      assert.deepEqual(read(piecesOf(stream, 1)), expected);
      assert.deepEqual(read([sample.bytes]), { packet: sample.packet, rest: NONE });
    });

    it('is incomplete without its last byte', () => {
      const reader = new FirstPacketReader();
      assert.ok(reader.untouched);
      assert.equal(reader.push(sample.bytes.subarray(0, -1)), 'incomplete');
      assert.ok(!reader.untouched);
    });
  });
}

describe('FirstPacketReader', () => {
  const refuses = (bad: Buffer, text: RegExp) =>
    assert.throws(
      () => new FirstPacketReader().push(bad),
      (error) => {
        assert.ok(error instanceof WireError);
        assert.match(error.reason, text);
        return true;
      },
    );

  it('refuses lengths a packet cannot have as soon as they are there, with both numbers', () => {
    const of = (length: number) => bytes().int32(length).toBuffer();
    refuses(of(0), /declares a length of 0, below the least, 8/);
    refuses(of(7), /declares a length of 7, below the least, 8/);
    refuses(of(-1), /declares a length of -1, below the least, 8/);
    refuses(of(10_005), /declares a length of 10005, 10004 is the limit/);
    refuses(of(0x7fffffff), /declares a length of 2147483647, 10004 is the limit/);
    assert.equal(new FirstPacketReader().push(of(10_004)), 'incomplete');
  });

  it('reads a packet of exactly 10,000 bytes, and encodes no longer one', () => {
    const value = 'x'.repeat(10_000 - 4 - 'user'.length - 1 - 1 - 1);
    const most = encodeStartupMessage({ parameters: [['user', value]] });
    assert.equal(most.length, 10_004);
    assert.equal(read([most]).packet.kind, 'startup');
    assert.throws(
      () => encodeStartupMessage({ parameters: [['user', `${value}x`]] }),
      /a StartupMessage of 10001 bytes, 10000 is the limit/,
    );
  });

  it('refuses a startup packet whose terminator is missing, early, or inside a pair', () => {
    const of = (body: Bytes) => packet(body);
    refuses(of(startup()), /no end within the 0 bytes left/);
    refuses(of(startup().cstring('user')), /no end within the 0 bytes left/);
    refuses(of(startup().cstring('user').cstring('a')), /no end within the 0 bytes left/);
    refuses(of(startup().cstring('user').text('a')), /no end within the 1 bytes left/);
    refuses(of(startup().int8(0).cstring('user').cstring('a').int8(0)), /8 bytes are left/);
  });

  it('refuses requests with a body, and cancel keys of 3 or 257 bytes', () => {
    refuses(packet(request(5679).int8(0)), /1 bytes are left/);
    refuses(packet(request(5680).int32(0)), /4 bytes are left/);
    refuses(packet(request(5678)), /needs 4 bytes, 0 are left/);
    for (const length of [0, 3, 257]) {
      const key = Buffer.alloc(length);
      refuses(
        packet(
          request(5678)
            .int32(1)
            .raw(...key),
        ),
        /between 4 and 256 expected/,
      );
      assert.throws(() => encodeCancelRequest({ processId: 1, secretKey: key }), WireError);
    }
  });

  it('names the version of a protocol it does not read', () => {
    const of = (major: number, minor: number) =>
      read([packet(bytes().int16(major).int16(minor).raw(1, 2, 3))]).packet;
    const unsupported = { kind: 'unsupported_protocol' };
    assert.deepEqual(of(2, 0), { ...unsupported, major: 2, minor: 0 });
    assert.deepEqual(of(4, 1), { ...unsupported, major: 4, minor: 1 });
    assert.deepEqual(of(1234, 5681), { ...unsupported, major: 1234, minor: 5681 });
    assert.deepEqual(of(0xffff, 0xffff), { ...unsupported, major: 65_535, minor: 65_535 });
  });

  it('recognises TLS that begins without being asked for, from its first byte', () => {
    const clientHello = Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]);
    assert.deepEqual(new FirstPacketReader().push(clientHello), {
      packet: { kind: 'direct_tls' },
      rest: clientHello,
    });
  });

  it('takes the last value of a name given twice, in the place of the first', () => {
    const body = startup();
    for (const [name, value] of ['a=1', 'b=2', 'a=3'].map((pair) => pair.split('='))) {
      body.cstring(name as string).cstring(value as string);
    }
    const { packet: message } = read([packet(body.int8(0))]);
    assert.ok(message.kind === 'startup');
    assert.deepEqual(
      [...message.parameters],
      [
        ['a', '3'],
        ['b', '2'],
      ],
    );
  });

  it('lists protocol options apart from parameters, and takes any name as just a name', () => {
    const body = startup(9999)
      .cstring('_pq_.grease')
      .cstring('on')
      .cstring('__proto__')
      .cstring('x')
      .int8(0);
    const { packet: message } = read([packet(body)]);
    assert.ok(message.kind === 'startup');
    assert.deepEqual(message.protocolOptions, ['_pq_.grease']);
    assert.deepEqual([...message.parameters], [['__proto__', 'x']]);
    assert.equal(message.minor, 9999);
  });

  it('does not encode a parameter without a name, or with a zero byte', () => {
    const of = (name: string, value: string) => () =>
      encodeStartupMessage({ parameters: [[name, value]] });
    assert.throws(of('', 'x'), /has no name/);
    assert.throws(of('user\0', 'x'), /zero byte at 4/);
    assert.throws(of('user', '\0x'), /zero byte at 0/);
  });

  it('meets random bytes with a packet or a WireError, and keeps at most 10,004 of them', () => {
    const head = fc.constantFrom(
      NONE,
      bytes().int32(40).int32(0x00030000).toBuffer(),
      bytes().int32(16).int16(1234).int16(5678).toBuffer(),
    );
    fc.assert(
      fc.property(head, fc.uint8Array({ maxLength: 60 }), (start, tail) => {
        try {
          const arrival = new FirstPacketReader().push(Buffer.concat([start, tail]));
          assert.ok(arrival === 'incomplete' || arrival.rest.length <= 68);
          if (tail.length >= 4) decodeFirstPacket(Buffer.from(tail));
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('startup options', () => {
  const settingsOf = (options: string) => {
    const parsed = parseOptions(options);
    assert.ok(parsed.kind === 'settings', JSON.stringify(parsed));
    return parsed.settings.map(({ name, value }) => `${name}|${value}`);
  };
  const errorOf = (options: string) => {
    const parsed = parseOptions(options);
    assert.ok(parsed.kind === 'invalid', JSON.stringify(parsed));
    return parsed.error;
  };

  it('are split at white space, of which a backslash takes the meaning', () => {
    assert.deepEqual(splitOptions(''), []);
    assert.deepEqual(splitOptions(' \t\n\v\f\r'), []);
    assert.deepEqual(splitOptions('  a  b\tc '), ['a', 'b', 'c']);
    assert.deepEqual(splitOptions(String.raw`a\ b \\c \d\\ e`), [
      'a b',
      String.raw`\c`,
      'd\\',
      'e',
    ]);
    assert.deepEqual(splitOptions('a\\'), ['a']);
    assert.deepEqual(splitOptions('a\u00a0b'), ['a\u00a0b']);
  });

  it('are settings in three notations, in order, a name twice if given twice', () => {
    assert.deepEqual(settingsOf('-c a=1 -cb=2 --c=3 -c a=4 --'), ['a|1', 'b|2', 'c|3', 'a|4']);
  });

  it('have underscores for dashes in names, never in values', () => {
    assert.deepEqual(settingsOf('--tenant-id=a-b -c my.search-path=x-y'), [
      'tenant_id|a-b',
      'my.search_path|x-y',
    ]);
  });

  it('may have values that are empty, escaped, or hold another equals sign', () => {
    assert.deepEqual(settingsOf(String.raw`-c a= -c search_path=x,\ y -c b=c=d`), [
      'a|',
      'search_path|x, y',
      'b|c=d',
    ]);
  });

  it('are refused in the words of the server', () => {
    assert.equal(errorOf('-c geqo'), '-c geqo requires a value');
    assert.equal(errorOf('--geqo-seed'), '--geqo-seed requires a value');
    const invalid = 'invalid command-line argument for server process: ';
    assert.equal(errorOf('-c'), `${invalid}-c`);
    assert.equal(errorOf('-e'), `${invalid}-e`);
    assert.equal(errorOf('-- x'), `${invalid}x`);
    assert.equal(errorOf('-c a=1 shop'), `${invalid}shop`);
    assert.equal(errorOf('-c =x'), 'unrecognized configuration parameter ""');
  });

  it('are written so that they are read the same again, whatever the values', () => {
    const name = fc.stringMatching(/^[a-z_.]{1,12}$/);
    const value = fc.string({ unit: fc.constantFrom(...'ab=-\\ \t\n\v\f\r"\'é'.split('')) });
    const setting = fc.tuple(name, value).map(([name, value]) => ({ name, value }));
    fc.assert(
      fc.property(fc.array(setting), (settings) => {
        assert.deepEqual(parseOptions(formatOptions(settings)), { kind: 'settings', settings });
      }),
    );
  });
});
