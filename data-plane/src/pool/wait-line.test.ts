/** Order and membership of the line. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InvariantViolation } from '@dbbouncer/shared/kernel/assert.ts';
import { WaitLine } from './wait-line.ts';

describe('WaitLine', () => {
  it('orders by arrival, and by joining among equal arrivals', () => {
    const line = new WaitLine<string>();
    line.join('b', 20);
    line.join('d', 40);
    line.join('a', 10);
    line.join('c', 20);
    assert.deepEqual(
      Array.from(line, ({ waiter }) => waiter),
      ['a', 'b', 'c', 'd'],
    );
    assert.deepEqual([line.shift(), line.shift(), line.size], ['a', 'b', 2]);
  });

  it('forgets a cancelled waiter in line and one whose verdict is not yet told', () => {
    const line = new WaitLine<string>();
    line.join('in line', 1);
    line.turnAway('turned away', 2, 'moved');
    line.cancel('in line');
    line.cancel('turned away');
    line.cancel('unknown');
    assert.equal(line.shift(), undefined);
    assert.equal(line.takeDecided(), undefined);
  });

  it('lets a waiter stand in line once, and again after it has been told', () => {
    const line = new WaitLine<string>();
    line.join('a', 1);
    assert.throws(() => line.join('a', 2), InvariantViolation);
    line.dismissHead('moved');
    assert.throws(() => line.join('a', 2), InvariantViolation);
    assert.equal(line.takeDecided()?.ticket.sinceMs, 1);
    line.join('a', 3);
    assert.equal(line.head?.sinceMs, 3);
  });
});
