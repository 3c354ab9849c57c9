/**
 * A test run must not call anything passed that did not pass: each way a file can go wrong, as a
 * real file.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { closingLine, failureReport, skipReport } from './report.ts';
import type { FileLimits, FileOutcome } from './run-file.ts';

const LIMITS: FileLimits = { fileMs: 20_000, testMs: 20_000, exitMs: 20_000 };
const IMPORTS = `import { describe, it, before } from 'node:test';\n`;

const DRIVER = `import { runFile } from '${import.meta.dirname}/run-file.ts';
const [file, limits] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await runFile(file, JSON.parse(limits))));
`;

describe('running one test file', { concurrency: 4 }, () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dbbouncer-run-'));
    await writeFile(join(folder, 'driver.mjs'), DRIVER);
  });
  after(() => rm(folder, { recursive: true }));

  /** Node runs no test runner within a test: the driver's process must not know of this one. */
  async function outcomeOf(
    name: string,
    code: string,
    limits: Partial<FileLimits> = {},
  ): Promise<FileOutcome> {
    const file = join(folder, `${name}.test.mjs`);
    await writeFile(file, IMPORTS + code);
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const args = [join(folder, 'driver.mjs'), file, JSON.stringify({ ...LIMITS, ...limits })];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env });
    return JSON.parse(stdout) as FileOutcome;
  }

  it('counts tests and subtests, not suites, and skipped ones apart', async () => {
    const outcome = await outcomeOf(
      'counts',
      `describe('s', () => { it('a', () => {}); it.skip('b', () => {}); it.todo('c'); });
       it('d', async (t) => { await t.test('e', () => {}); });`,
    );
    assert.equal(closingLine([outcome]), '3 passed, 0 failed, 2 skipped');
  });

  it('says why tests were skipped, and how many', async () => {
    const reason = `skip: 'it needs the package p'`;
    const code = `for (const name of ['a', 'b']) it(name, { ${reason} }, () => {});
       it('c', () => {});`;
    const outcome = await outcomeOf('reasons', code);
    assert.match(skipReport([outcome]), /2 in .*reasons\.test\.mjs: it needs the package p\n/);
    assert.equal(skipReport([await outcomeOf('none', `it('a', () => {});`)]), '');
  });

  it('names suite, test, line and error of a failure, once', async () => {
    const outcome = await outcomeOf(
      'fails',
      `describe('sums', () => { it('adds', () => { throw new Error('one off'); }); });`,
    );
    assert.equal(closingLine([outcome]), '0 passed, 1 failed');
    assert.equal(outcome.failures[0]?.name, 'sums › adds');
    assert.equal(outcome.failures[0]?.line, 2);
    assert.match(failureReport([outcome]), /fails\.test\.mjs:2\n {2}sums › adds\n[^]*one off/);
  });

  it('fails a suite whose before hook throws', async () => {
    const outcome = await outcomeOf(
      'hook',
      `describe('s', () => {
         before(() => { throw new Error('no server'); });
         it('a', () => {});
       });`,
    );
    assert.match(failureReport([outcome]), /no server/);
    assert.equal(outcome.passed, 0);
  });

  it('fails a file that throws while loading and shows what it printed', async () => {
    const outcome = await outcomeOf('crash', `throw new Error('cannot load');`);
    assert.equal(closingLine([outcome]), '0 passed, 1 failed');
    assert.match(failureReport([outcome]), /exit code 1\n[^]*cannot load/);
  });

  it('fails a file that exits with success in the middle of a test', async () => {
    const outcome = await outcomeOf(
      'exit',
      `it('a', () => {}); it('b', () => process.exit(0)); it('c', () => {});`,
    );
    assert.notEqual(outcome.failures.length, 0);
  });

  it('fails a file that is killed, naming the signal', async () => {
    const outcome = await outcomeOf('kill', `it('a', () => process.kill(process.pid, 'SIGKILL'));`);
    assert.match(outcome.failures[0]?.name ?? '', /signal SIGKILL/);
  });

  it('ends a file at its limit of 2 s and names the test that hangs', async () => {
    const outcome = await outcomeOf(
      'hang',
      `it('quick', () => {});
       it('waits for nobody', () => new Promise(() => setInterval(() => {}, 9)));`,
      { fileMs: 2_000 },
    );
    assert.equal(closingLine([outcome]), '1 passed, 1 failed');
    assert.match(failureReport([outcome]), /within 2 s\n[^]*Still running: waits for nobody/);
  });

  it('fails a test at its limit of 500 ms, and goes on with the next ones', async () => {
    const outcome = await outcomeOf(
      'slow',
      `it('waits for nobody', () => new Promise((resolve) => setTimeout(resolve, 2_000)));
       it('is patient', { timeout: 10_000 }, () => new Promise((all) => setTimeout(all, 1_000)));
       it('quick', () => {});`,
      { testMs: 500 },
    );
    assert.equal(closingLine([outcome]), '2 passed, 1 failed');
    assert.match(failureReport([outcome]), /waits for nobody\n[^]*timed out after 500ms/);
  });

  it('ends a process that goes on for 1 s after the last test', async () => {
    const outcome = await outcomeOf(
      'leak',
      `it('a', () => {}); it('b', async (t) => { await t.test('c', () => {}); });
       setInterval(() => {}, 1000);`,
      { exitMs: 1_000 },
    );
    assert.equal(closingLine([outcome]), '3 passed, 1 failed');
    assert.match(failureReport([outcome]), /within 1 s of its last test\n[^]*a timer, a socket or/);
    assert.ok(outcome.durationMs < 15_000);
  });

  it('leaves a process alone in which a test still runs after a quick one', async () => {
    const outcome = await outcomeOf(
      'patient',
      `it('a', () => {}); it('b', () => new Promise((all) => setTimeout(all, 1_500)));`,
      { exitMs: 300 },
    );
    assert.equal(closingLine([outcome]), '2 passed, 0 failed');
  });

  it('fails a file without a test', async () => {
    const outcome = await outcomeOf('empty', `export const nothing = 1;`);
    assert.equal(closingLine([outcome]), '0 passed, 1 failed');
  });
});
