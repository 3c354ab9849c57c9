/** The short form of the rolling restart; `npm run drill:rolling` is the long one. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { rollingRestart } from './rolling.ts';

const OPTIONS = { timeout: 90_000 };

it('24 clients lose nothing while three proxies restart one by one', OPTIONS, async (test) => {
  const { committed, moves } = await rollingRestart({ clients: 24, rounds: 1, restMs: 50 });
  const moved = Object.values(moves).reduce((sum, count) => sum + count, 0);
  assert.ok(moved >= 24, `${moved} moves`);
  test.diagnostic(`${committed} transactions; moves: ${JSON.stringify(moves)}`);
});
