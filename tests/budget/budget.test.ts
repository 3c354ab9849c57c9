/** The short form of `npm run simulate`. */
import { describe, it } from 'node:test';
import { simulate } from './trouble.ts';

const RUNS = 40;

describe('the fleet-wide budget, over a network that loses, delays and repeats', () => {
  it(`keeps its invariants in ${RUNS} worlds of crashes, stops and changes of the config`, () => {
    for (let seed = 1; seed <= RUNS; seed++) simulate({ seed, troubleMs: 12_000 });
  });

  it('gives no lease to what a former term took back while the proxy was stopped', () => {
    simulate({ seed: 1131, troubleMs: 25_000 });
  });
});
