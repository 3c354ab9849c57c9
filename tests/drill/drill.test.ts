/**
 * The short form of the drill; `npm run drill` is the long one.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { drill } from './drill.ts';

it('200 clients come and go while the database crashes, and leave nothing', async (test) => {
  const { tally, recoveriesMs } = await drill({
    clients: 200,
    outages: ['immediate'],
    restMs: 100,
    workMs: 800,
    seed: 7,
  });
  assert.ok(tally.answers > 500, `${tally.answers} answers`);
  assert.equal(tally.leaves.size, 7, 'clients left in every way');
  test.diagnostic(`${tally.answers} answers, recovered within ${recoveriesMs.join()} ms`);
});
