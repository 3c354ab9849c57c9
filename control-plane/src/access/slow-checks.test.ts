/** How many slow checks run, wait and are turned away. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SLOW_CHECK_LIMITS, SlowChecks } from './slow-checks.ts';

/** Checks that end when they are told to. */
function setUp() {
  const checks = new SlowChecks<string>();
  const running: ((result: string) => void)[] = [];
  const run = (key: string) =>
    checks.run(key, () => new Promise<string>((resolve) => running.push(resolve)));
  return { run, running };
}

describe('SlowChecks', () => {
  it('runs 2 at once, has 64 in line, and turns the 67th away', async () => {
    assert.deepEqual(SLOW_CHECK_LIMITS, { runningMax: 2, waitingMax: 64 });
    const { run, running } = setUp();
    const all = Array.from({ length: 66 }, (_, i) => run(`key ${i}`));
    assert.ok(all.every((result) => result !== undefined));
    assert.equal(run('one more'), undefined);
    for (let done = 0; done < 66; done++) {
      assert.equal(running.length, Math.min(66, done + 2));
      running[done]?.(`result ${done}`);
      await all[done];
      await Promise.resolve();
    }
    const results = await Promise.all(all);
    assert.deepEqual(results.slice(0, 2), ['result 0', 'result 1']);
    assert.notEqual(run('one more'), undefined);
  });

  it('gives all who ask for the same one result, also when the line is full', async () => {
    const { run, running } = setUp();
    const first = run('same');
    for (let i = 0; i < 65; i++) void run(`other ${i}`);
    const second = run('same');
    assert.equal(second, first);
    running[0]?.('found');
    assert.equal(await second, 'found');
  });

  it('goes on after a check that failed', async () => {
    const checks = new SlowChecks<string>();
    const failing = checks.run('a', () => Promise.reject(new Error('broken')));
    await assert.rejects(failing ?? Promise.resolve(), /broken/);
    assert.equal(await checks.run('a', async () => 'well'), 'well');
  });
});
