/** The system's clock; every other test turns one by hand. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { systemClock } from './clock.ts';

describe('systemClock', () => {
  it('never goes back and stamps in UTC', () => {
    const first = systemClock.nowMs();
    assert.ok(systemClock.nowMs() >= first);
    assert.match(systemClock.timestamp(), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it('fires once after the delay, and not when cancelled', async () => {
    const fired: string[] = [];
    const cancelled = systemClock.after(1, () => fired.push('cancelled'));
    cancelled.cancel();
    const alive = setInterval(() => {}, 1_000);
    await new Promise<void>((resolve) => {
      systemClock.after(5, () => {
        fired.push('fired');
        resolve();
      });
    });
    clearInterval(alive);
    assert.deepEqual(fired, ['fired']);
  });

  it('lets a process end while a timer is pending', async () => {
    const clock = fileURLToPath(new URL('./clock.ts', import.meta.url));
    const script = `import { systemClock } from ${JSON.stringify(clock)};
      systemClock.after(3_600_000, () => {});`;
    const node = [process.execPath, ['--input-type=module', '-e', script]] as const;
    await promisify(execFile)(...node, { timeout: 10_000 });
  });
});
