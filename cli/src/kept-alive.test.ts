/** A process of its own, since it is about when that ends. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);
const KEPT = new URL('kept-alive.ts', import.meta.url).href;
const CLOCK = import.meta.resolve('@dbbouncer/shared/kernel/clock.ts');

/** What a process writes that waits for a timer of the Clock and says what came of it. */
async function outputOf(end: string): Promise<string> {
  const script = `
    import { keptAlive } from '${KEPT}';
    import { systemClock } from '${CLOCK}';
    const work = new Promise((resolve, reject) => systemClock.after(20, () => ${end}));
    console.log(await keptAlive(work).catch((error) => error.message));
  `;
  const args = ['--input-type=module', '--eval', script];
  return (await run(process.execPath, args)).stdout;
}

describe('keptAlive', () => {
  it('keeps the process until the work is done, which waits for a timer alone', async () => {
    assert.equal(await outputOf(`resolve('done')`), 'done\n');
  });

  it('keeps it until the work has failed', async () => {
    assert.equal(await outputOf(`reject(new Error('failed'))`), 'failed\n');
  });
});
