/** The short form of `npm run simulate` and of `npm run simulate:mutations`. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { simulate } from './trouble.ts';

const RUNS = 40;
const PROGRAM = join(import.meta.dirname, 'mutations', 'run-mutated.ts');
/** Mutations, and a world that finds each. */
const FOUND_BY = [
  ['a limit holds without a lease', 1],
  ['orders are obeyed out of their order', 52],
] as const;

describe('the fleet-wide budget, over a network that loses, delays and repeats', () => {
  it(`keeps its invariants in ${RUNS} worlds of crashes, stops and changes of the config`, () => {
    for (let seed = 1; seed <= RUNS; seed++) simulate({ seed, troubleMs: 12_000 });
  });

  for (const [name, seed] of FOUND_BY) {
    it(`is seen to be broken where ${name}`, () => {
      const world = ['--seed', String(seed), '--runs', '1', '--trouble', '20000'];
      const { status, stdout } = spawnSync(process.execPath, [PROGRAM, name, ...world]);
      assert.match(stdout.toString(), /InvariantBroken: .* are allowed/);
      assert.equal(status, 1);
    });
  }
});
