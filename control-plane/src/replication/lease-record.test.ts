/** Whose lease is believed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { leaseMarks } from './lease-record.ts';
import type { Lease } from './lease-record.ts';

const [ours, former, theirs] = ['ours', 'former', 'theirs'].map((text) => Buffer.from(text)) as [
  Buffer,
  Buffer,
  Buffer,
];

function leaseMarkedWith(secret: Buffer): Lease {
  const who = { holder: 'cp-1', process: 'p', apiUrl: 'http://10.0.0.7:8080' };
  const mark = leaseMarks([secret]).of(who);
  return { ...who, state: 'held', term: 1, leaseMs: 5_000, mark };
}

describe('the mark of a lease', () => {
  it('fits where the same master key is held, as the primary one or besides', () => {
    assert.ok(leaseMarks([ours]).fits(leaseMarkedWith(ours)));
    assert.ok(leaseMarks([ours, former]).fits(leaseMarkedWith(former)));
    assert.ok(!leaseMarks([ours, former]).fits(leaseMarkedWith(theirs)));
  });

  it('fits no other address, holder or mark', () => {
    const lease = leaseMarkedWith(ours);
    const others = [{ apiUrl: 'http://thief' }, { holder: 'cp-2' }, { mark: '' }, { mark: 'zz' }];
    for (const other of others) assert.ok(!leaseMarks([ours]).fits({ ...lease, ...other }));
  });
});
