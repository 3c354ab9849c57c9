/** System calls, priced. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { costOf, limitTable, profileTable } from './profile-report.ts';

const PRICES = { reads: 1, writes: 2, wakingWrites: 20, sleeps: 4 };

describe('what system calls cost', () => {
  it('is their number by their price', () => {
    const calls = { reads: 2, writes: 1.5, sleeps: 0.25 };
    assert.equal(costOf(calls, PRICES, PRICES.writes), 2 + 3 + 1);
    assert.equal(costOf(calls, PRICES, PRICES.wakingWrites), 2 + 30 + 1);
  });

  it('halves at the server when two queries are gathered, and stays with each client', () => {
    const [, , alone, two] = limitTable(PRICES).split('\n');
    assert.equal(alone, '| 1 | 6 µs | 42 µs | 42 µs |');
    assert.equal(two, '| 2 | 4.5 µs | 31.5 µs | 22.5 µs |');
  });

  it('is not told of a state that nobody has looked at', () => {
    const calls = { reads: 2, writes: 2, sleeps: 0 };
    const after = { cpuUs: 10, calls, writing: 0.5, prices: PRICES };
    assert.match(profileTable({ after }), /^\| CPU of the proxy, µs \| – \| 10 \|$/m);
  });
});
