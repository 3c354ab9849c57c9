/** PROXY protocol headers, spelled byte by byte as HAProxy's document has them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIpAddress } from '@dbbouncer/shared/kernel/ip-address.ts';
import { ProxyHeaderError, readProxyHeader } from './proxy-header.ts';

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];

const v2 = (command: number, family: number, rest: readonly number[], length = rest.length) =>
  Buffer.from([...SIGNATURE, command, family, length >> 8, length & 0xff, ...rest]);
const TCP4 = [192, 0, 2, 1, 10, 0, 0, 1, 0xdc, 0x04, 0x19, 0x20];
const ipv6 = (last: number) => [0x20, 0x01, 0x0d, 0xb8, ...Array<number>(11).fill(0), last];
const TCP6 = [...ipv6(9), ...ipv6(1), 0xdc, 0x04, 0x19, 0x20];
const TLV = [0x04, 0, 3, 1, 2, 3];

/** The client it names, or `own`. */
function client(header: Buffer): string {
  const read = readProxyHeader(header);
  assert.notEqual(read, 'incomplete');
  assert.ok(read !== 'incomplete');
  assert.equal(read.headerBytes, header.length);
  return read.client === undefined ? 'own' : formatIpAddress(read.client);
}

const GOOD: readonly (readonly [name: string, header: Buffer, client: string])[] = [
  ['TCP4', Buffer.from('PROXY TCP4 192.0.2.1 10.0.0.1 56324 6432\r\n'), '192.0.2.1'],
  ['TCP6', Buffer.from('PROXY TCP6 2001:db8::9 ::1 56324 6432\r\n'), '2001:db8:0:0:0:0:0:9'],
  ['UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), 'own'],
  ['UNKNOWN with more', Buffer.from('PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n'), 'own'],
  ['v2 TCP4', v2(0x21, 0x11, TCP4), '192.0.2.1'],
  ['v2 TCP4 with TLVs', v2(0x21, 0x11, [...TCP4, ...TLV]), '192.0.2.1'],
  ['v2 TCP6', v2(0x21, 0x21, TCP6), '2001:db8:0:0:0:0:0:9'],
  ['v2 LOCAL', v2(0x20, 0x00, []), 'own'],
  ['v2 LOCAL with an address', v2(0x20, 0x11, TCP4), 'own'],
  ['v2 of an unspecified family', v2(0x21, 0x00, TLV), 'own'],
  ['v2 of a socket file', v2(0x21, 0x31, Array<number>(216).fill(0)), 'own'],
];

const BAD: readonly (readonly [name: string, header: Buffer])[] = [
  ['a startup packet', Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])],
  ['a TLS handshake', Buffer.from([0x16, 3, 1])],
  ['a line without addresses', Buffer.from('PROXY TCP4\r\n')],
  ['an IPv6 address as TCP4', Buffer.from('PROXY TCP4 ::1 ::1 1 2\r\n')],
  ['an IPv4 address as TCP6', Buffer.from('PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n')],
  ['a port above 65535', Buffer.from('PROXY TCP4 10.0.0.1 10.0.0.2 65536 2\r\n')],
  ['a port with a zero in front', Buffer.from('PROXY TCP4 10.0.0.1 10.0.0.2 01 2\r\n')],
  ['one port', Buffer.from('PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n')],
  ['more than two ports', Buffer.from('PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n')],
  ['two blanks', Buffer.from('PROXY TCP4  10.0.0.1 10.0.0.2 1 2\r\n')],
  ['small letters', Buffer.from('proxy tcp4 10.0.0.1 10.0.0.2 1 2\r\n')],
  ['a family nobody knows', Buffer.from('PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n')],
  ['107 bytes without an end', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(93)}`)],
  ['version 1 in the binary form', v2(0x11, 0x11, TCP4)],
  ['a command nobody knows', v2(0x22, 0x11, TCP4)],
  ['UDP', v2(0x21, 0x12, TCP4)],
  ['too short for IPv4', v2(0x21, 0x11, TCP4.slice(0, 11))],
  ['too short for IPv6', v2(0x21, 0x21, TCP4)],
  ['2,049 bytes announced', v2(0x21, 0x11, [], 2_049)],
];

describe('readProxyHeader', () => {
  for (const [name, header, expected] of GOOD) {
    it(`reads ${name}, incomplete at every byte before its end`, () => {
      assert.equal(client(header), expected);
      for (let end = 0; end < header.length; end++) {
        assert.equal(readProxyHeader(header.subarray(0, end)), 'incomplete', `${end} bytes`);
      }
      const followed = readProxyHeader(Buffer.concat([header, Buffer.from('PROXY \r\n')]));
      assert.deepEqual(followed, readProxyHeader(header));
    });
  }

  for (const [name, header] of BAD) {
    it(`refuses ${name}`, () => {
      assert.throws(() => readProxyHeader(header), ProxyHeaderError);
    });
  }

  it('never asks for more than 2,064 bytes, and reads or refuses any bytes', () => {
    const begun = [Buffer.alloc(0), Buffer.from('PROXY '), Buffer.from(SIGNATURE)];
    const start = fc.constantFrom(...begun);
    fc.assert(
      fc.property(start, fc.uint8Array({ minLength: 2_064, maxLength: 2_100 }), (head, tail) => {
        try {
          assert.notEqual(readProxyHeader(Buffer.concat([head, tail])), 'incomplete');
        } catch (error) {
          assert.ok(error instanceof ProxyHeaderError);
        }
      }),
    );
  });
});
