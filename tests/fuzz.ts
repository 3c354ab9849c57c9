/**
 * `npm run fuzz`: the properties that are tried against real servers, at random and for long.
 * Usage: npm run fuzz [-- FILTER…], with FUZZ_RUNS (default 1000) tries of each property;
 * FUZZ_SEED does again what failed, with the seed that the failure told.
 * Owns: which files these are: all that import support/fuzzing.ts.
 */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

const RUNS = '1000';
const filters = process.argv.slice(2);
process.chdir(dirname(import.meta.dirname));
const files = globSync('tests/**/*.test.ts', { exclude: (name) => name.includes('node_modules') })
  .filter((file) => readFileSync(file, 'utf8').includes("/support/fuzzing.ts'"))
  .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
  .toSorted();
const env = { FUZZ_RUNS: RUNS, ...process.env };
const args = ['--test', '--test-concurrency=1', ...files];
const { status } = spawnSync(process.execPath, args, { stdio: 'inherit', env });
process.exitCode = files.length === 0 ? 1 : (status ?? 1);
