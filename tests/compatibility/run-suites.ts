/**
 * Makes node:test tests of suites: each case of each suite in both pool modes, on one rig.
 */
import { after, before, describe, it } from 'node:test';
import { Rig, runCase } from './rig.ts';
import { MODES } from './suite.ts';
import type { Suite } from './suite.ts';

/** @returns what waits, after all of them, until nobody is connected and no lease is held */
export function testSuites(suites: readonly Suite[]): { atRest(): Promise<void> } {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start(suites);
  });
  after(() => rig.stop());
  for (const suite of suites) {
    const missing = suite.missing?.();
    const skip = missing === undefined ? false : `${suite.name} ${missing}`;
    for (const mode of MODES) {
      describe(`${suite.name} in ${mode} mode`, () => {
        for (const name of Object.keys(suite.cases)) {
          const reason = suite.expectedFailures?.[name]?.[mode];
          const title = reason === undefined ? name : `${name}: fails, ${reason}`;
          // Each by itself: what is skipped is counted then.
          it(title, { skip }, () => runCase(suite, name, rig.place(suite, mode)));
        }
      });
    }
  }
  return { atRest: () => rig.atRest() };
}
