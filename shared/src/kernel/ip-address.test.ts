/** Addresses and blocks of them, compared with what node:net makes of the same text. */
import assert from 'node:assert/strict';
import { BlockList, isIP, SocketAddress } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cidrContains, formatIpAddress, parseCidr, parseIpAddress } from './ip-address.ts';

const holds = (cidr: string, address: string): boolean => {
  const [block, ip] = [parseCidr(cidr), parseIpAddress(address)];
  assert.ok(block !== undefined && ip !== undefined);
  return cidrContains(block, ip);
};

describe('parseIpAddress', () => {
  it('takes a text for an address exactly when node:net does', () => {
    const odd = ['', '1.2.3', '1.2.3.256', '01.2.3.4', '::', ':::', '1::2::3', 'g::', '::1.2.3.4'];
    odd.push('1.2.3.4::', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8', ':1', '1:');
    odd.push(
      '::ffff:1.2.3.4',
      '1:2:3:4:5:6:1.2.3.4',
      '1:2:3:4:5:6:7:1.2.3.4',
      '12345::',
      '1.2.3.4:',
    );
    odd.push('fe80::1%eth0', '1.2.3.4::5', '::1.2.3.4:5', ' 1.2.3.4', '1.2.3.4\n', '::1\n');
    for (const text of odd) {
      assert.equal(parseIpAddress(text) !== undefined, isIP(text) !== 0, JSON.stringify(text));
    }
    const nearly = fc.string({ unit: fc.constantFrom(...'0123:.f%/'.split('')), maxLength: 24 });
    fc.assert(
      fc.property(fc.oneof(nearly, fc.ipV4(), fc.ipV6()), (text) => {
        assert.equal(parseIpAddress(text) !== undefined, isIP(text) !== 0, JSON.stringify(text));
      }),
      { numRuns: 2_000 },
    );
  });

  it('reads the same address as node:net', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const parsed = parseIpAddress(text);
        assert.ok(parsed !== undefined);
        const family = isIP(text) === 6 ? 'ipv6' : 'ipv4';
        const theirs = new SocketAddress({ address: text, family }).address;
        assert.deepEqual(parseIpAddress(theirs), parsed);
        assert.deepEqual(parseIpAddress(formatIpAddress(parsed)), parsed);
      }),
    );
  });

  it('is the IPv4 address for one that is mapped into IPv6, in any spelling', () => {
    const plain = { family: 4, bytes: [192, 0, 2, 1] };
    assert.deepEqual(parseIpAddress('192.0.2.1'), plain);
    assert.deepEqual(parseIpAddress('::ffff:192.0.2.1'), plain);
    assert.deepEqual(parseIpAddress('0:0:0:0:0:FFFF:c000:201'), plain);
  });
});

describe('cidrContains', () => {
  it('agrees with node:net.BlockList for any block and address', () => {
    const nearby = fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 }), fc.nat(31));
    fc.assert(
      fc.property(nearby, ([base, prefix, flipped]) => {
        const bytes = [...(parseIpAddress(base)?.bytes ?? [])];
        bytes[flipped >> 3] = (bytes[flipped >> 3] ?? 0) ^ (1 << (flipped & 7));
        const address = bytes.join('.');
        const list = new BlockList();
        list.addSubnet(base, prefix, 'ipv4');
        assert.equal(holds(`${base}/${prefix}`, address), list.check(address, 'ipv4'));
      }),
    );
    fc.assert(
      fc.property(fc.ipV6(), fc.ipV6(), fc.integer({ min: 0, max: 128 }), (base, other, prefix) => {
        fc.pre(parseIpAddress(base)?.family === 6 && parseIpAddress(other)?.family === 6);
        const list = new BlockList();
        list.addSubnet(base, prefix, 'ipv6');
        for (const address of [base, other]) {
          assert.equal(holds(`${base}/${prefix}`, address), list.check(address, 'ipv6'));
        }
      }),
    );
  });

  it('holds one address without a prefix, all with /0, and no address of the other family', () => {
    assert.equal(holds('10.1.2.3', '10.1.2.3'), true);
    assert.equal(holds('10.1.2.3', '10.1.2.4'), false);
    assert.equal(holds('0.0.0.0/0', '203.0.113.9'), true);
    assert.equal(holds('0.0.0.0/0', '2001:db8::1'), false);
    assert.equal(holds('::/0', '203.0.113.9'), false);
    assert.equal(holds('10.0.0.0/8', '::ffff:10.9.8.7'), true);
    assert.equal(holds('::ffff:10.0.0.0/104', '10.9.8.7'), true);
  });

  it('is not made of what is no block', () => {
    const wrong = ['10.0.0.0/33', '10.0.0/8', '::/129', '10.0.0.0/08', '10.0.0.0/', '/8', 'all'];
    wrong.push('10.0.0.0/8/8', '10.0.0.0/-1', 'fe80::1%eth0/64', '::ffff:10.0.0.0/95', 'host');
    for (const text of wrong) assert.equal(parseCidr(text), undefined, text);
  });
});
