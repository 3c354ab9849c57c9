/**
 * `npm test`: every *.test.ts of every workspace, each in a process of its own.
 * Usage: npm test [-- FILTER…] runs the files whose path holds one of the filters.
 * Ends with the line "N passed, N failed" and exit code 1 when anything failed or nothing ran.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { closingLine, failureReport, fileLine, skipReport, slowestFiles } from './runner/report.ts';
import type { FileLimits, FileOutcome } from './runner/run-file.ts';
import { runFile } from './runner/run-file.ts';
import { lendTemplate } from './runner/shared-template.ts';

const ROOT = dirname(import.meta.dirname);
const LIMITS: FileLimits = { fileMs: 180_000, testMs: 90_000, exitMs: 20_000 };
/**
 * Of its time a file with real servers waits a quarter: one more than there are cores keeps these
 * busy. More than that would spoil what tests measure of waiting.
 */
const FILES_AT_ONCE = Math.min(5, Math.max(2, availableParallelism()) + 1);

/** Settings of whoever runs the tests must not reach the programs under test. */
const FOREIGN_SETTINGS = /^(DBBOUNCER_|PG[A-Z]+$|NATS_|FUZZ_|NODE_OPTIONS$|NODE_TEST_)/;

process.chdir(ROOT);
// Hundreds of processes read the same sources: each is compiled once.
process.env['NODE_COMPILE_CACHE'] = join(ROOT, 'node_modules', '.cache', 'compiled-tests');
for (const name of Object.keys(process.env).filter((name) => FOREIGN_SETTINGS.test(name))) {
  Reflect.deleteProperty(process.env, name);
}

const files = testFiles(process.argv.slice(2));
if (files.length === 0) print('No test file matches.');
// Where a program cannot be installed, the tests that need it fail and name its package again.
else spawnSync(join(ROOT, 'tests', 'system-packages.sh'), { stdio: 'inherit' });

// Without one, each file that needs it fails and says why.
const template = await lendTemplate().catch(() => undefined);
const outcomes = await runAll(files);
await template?.remove();
print(failureReport(outcomes) + slowestFiles(outcomes) + skipReport(outcomes));
print(closingLine(outcomes));
const allPassed = outcomes.every(({ failures }) => failures.length === 0);
const anyPassed = outcomes.some(({ passed }) => passed > 0);
process.exitCode = allPassed && anyPassed ? 0 : 1;

/** Files that need real servers first: they take longest. */
function testFiles(filters: readonly string[]): string[] {
  const pattern = '{shared,control-plane,data-plane,cli,tests}/**/*.test.ts';
  return globSync(pattern, { cwd: ROOT, exclude: (name) => name.includes('node_modules') })
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

function rank(file: string): number {
  if (file.startsWith('tests/e2e/')) return 0;
  return file.startsWith('tests/') ? 1 : 2;
}

async function runAll(files: readonly string[]): Promise<FileOutcome[]> {
  const waiting = [...files];
  const outcomes: FileOutcome[] = [];
  const lane = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const outcome = await runFile(file, LIMITS);
      outcomes.push(outcome);
      print(fileLine(outcome));
    }
  };
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, lane));
  return outcomes;
}

function print(text: string): void {
  if (text !== '') process.stdout.write(`${text}\n`);
}
