/** The links of a chain against an array. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { InvariantViolation } from '@dbbouncer/shared/kernel/assert.ts';
import { Chain } from './chain.ts';
import type { Linked } from './chain.ts';

class Bead implements Linked<Bead, string> {
  chain: Chain<Bead, string> | undefined = undefined;
  previous: Bead | undefined = undefined;
  next: Bead | undefined = undefined;
}

describe('Chain', () => {
  it('keeps the order of an array under any inserts and removals', () => {
    const operation = fc.record({ insert: fc.boolean(), at: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const chain = new Chain<Bead, string>('beads');
        const model: Bead[] = [];
        for (const { insert, at } of operations) {
          const index = model.length === 0 ? 0 : at % model.length;
          const bead = model[index];
          if (insert) {
            const added = new Bead();
            chain.insertAfter(bead, added);
            model.splice(bead === undefined ? 0 : index + 1, 0, added);
          } else if (bead !== undefined) {
            chain.remove(bead);
            model.splice(index, 1);
          }
          assert.deepEqual(Array.from(chain), model);
          assert.equal(chain.size, model.length);
          assert.equal(chain.first, model[0]);
          assert.equal(chain.last, model.at(-1));
        }
      }),
    );
  });

  it('refuses a member of another chain', () => {
    const mine = new Chain<Bead, string>('mine');
    const other = new Chain<Bead, string>('other');
    const bead = new Bead();
    mine.push(bead);
    assert.throws(() => other.push(bead), InvariantViolation);
    assert.throws(() => other.remove(bead), InvariantViolation);
    assert.equal(bead.chain?.name, 'mine');
  });
});
