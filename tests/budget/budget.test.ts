/** The short form of `npm run simulate`. */
import { describe, it } from 'node:test';
import { simulate } from './trouble.ts';

const RUNS = 40;

describe('the fleet-wide budget, over a network that loses, delays and repeats', () => {
  it(`keeps its invariants in ${RUNS} worlds of crashes, stops and changes of the config`, () => {
    for (let seed = 1; seed <= RUNS; seed++) simulate({ seed, troubleMs: 12_000 });
  });
});
