/**
 * `npm run compatibility`: runs every suite in both pool modes and writes docs/compatibility.md.
 * Ends with exit code 1 when something failed that should not have, or passed that should not have,
 * or could not be run here.
 */
import { writeFile } from 'node:fs/promises';
import { DOCUMENT, asExpected, matrix } from './matrix.ts';
import type { Outcome } from './matrix.ts';
import { Rig, runCase } from './rig.ts';
import { MODES } from './suite.ts';
import { SUITES } from './suites/all.ts';

const outcomes = new Map<string, Outcome>();
const key = (suite: string, mode: string, name: string) => `${suite}\0${mode}\0${name}`;

const rig = await Rig.start(SUITES);
for (const suite of SUITES) {
  const missing = suite.missing?.();
  if (missing !== undefined) {
    print(`${suite.name}: not run here, it ${missing}; the document is not complete`);
    process.exitCode = 1;
  }
  for (const mode of MODES) {
    for (const name of Object.keys(suite.cases)) {
      const run = async (): Promise<Outcome> => {
        if (missing !== undefined) return 'not run here';
        await runCase(suite, name, rig.place(suite, mode));
        return asExpected(suite, mode, name);
      };
      const outcome = await run().catch((error: unknown): Outcome => {
        print(`${suite.name} in ${mode} mode: ${name}: ${String(error)}`);
        process.exitCode = 1;
        return 'failed';
      });
      outcomes.set(key(suite.name, mode, name), outcome);
    }
  }
}
await rig.stop();

await writeFile(
  DOCUMENT,
  matrix(
    SUITES,
    (suite, mode, name) => outcomes.get(key(suite.name, mode, name)) ?? 'not run here',
  ),
);

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
