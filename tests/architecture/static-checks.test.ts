/** The checks of `npm run check`, as tests: whoever runs the tests has run them too. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = dirname(dirname(import.meta.dirname));

/** Programs come from the checkout, whatever PATH says; their words are the failure's text. */
function runs(program: string, ...args: string[]): void {
  const command = join(ROOT, 'node_modules', '.bin', program);
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`,
      // Type checker and linter end soon and are Go: fewer collections, a quarter less work.
      GOGC: '400',
    },
  });
  if (error !== undefined) throw error;
  assert.equal(status, 0, `${program} found:\n${stdout}${stderr}`);
}

describe('the whole tree', () => {
  // With one checker what several would each work out is worked out once.
  it('type-checks', () => runs('tsc', '--noEmit', '--checkers', '1'));
  it('passes the linter without a warning', () => {
    runs('oxlint', '--type-aware', '--deny-warnings');
  });
  it('is formatted', () => runs('prettier', '--check', '--log-level', 'warn', '.'));
});
