/** The system's clock; every other test turns one by hand. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { systemClock, toTimestamp } from './clock.ts';

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

describe('toTimestamp', () => {
  it('puts a time into UTC with milliseconds, whatever its offset and precision', () => {
    for (const written of ['2028-02-29T01:00+01:00', '2028-02-29T00:00:00.0009z']) {
      assert.equal(toTimestamp(written), '2028-02-29T00:00:00.000Z', written);
    }
  });

  it('knows no day that no month has, and no time without its offset', () => {
    const wrong = ['2026-02-29T00:00:00Z', '2026-04-31T00:00:00Z', '2026-01-00T00:00:00Z'];
    for (const written of [...wrong, '2026-13-01T00:00:00Z', '2026-01-01T00:00:00', '1']) {
      assert.equal(toTimestamp(written), undefined, written);
    }
  });
});
