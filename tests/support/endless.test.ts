/** Loops beside a test end with it. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Endless, stopEndless } from './endless.ts';

it('stopEndless ends the loops that a test has left', async () => {
  const turns: number[] = [];
  Endless.start(3, async () => {
    turns.push(turns.length);
    await nextTurn();
  });
  while (turns.length < 30) await nextTurn();
  await stopEndless();
  const ended = turns.length;
  await nextTurn();
  await nextTurn();
  assert.equal(turns.length, ended);
});
