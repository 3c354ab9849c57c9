/** How far something has come: a bar on a terminal, lines elsewhere, nothing when it is quick. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock } from '../../tests/support/manual-clock.ts';
import { drawBar, Progress } from './progress.ts';
import type { ProgressOutput } from './progress.ts';

function run(output: Omit<ProgressOutput, 'write'>, seconds: number): readonly string[] {
  const clock = new ManualClock();
  const written: string[] = [];
  const out = { ...output, write: (text: string) => void written.push(text) };
  const progress = new Progress('events', out, clock);
  const total = seconds * 2_560;
  for (let done = 1; done <= total; done++) {
    if (done % 256 === 0) clock.stall(100);
    progress.update(done, total);
  }
  progress.end();
  return written;
}

describe('progress', () => {
  it('shows nothing of what takes less than a second', () => {
    assert.deepEqual(run({ isTTY: true, columns: 80 }, 0.9), []);
    assert.deepEqual(run({ isTTY: false }, 0.9), []);
  });

  it('writes a line every 5 s where there is no terminal', () => {
    assert.deepEqual(run({ isTTY: false }, 12), [
      '2560 of 30720 events\n',
      '15360 of 30720 events\n',
      '28160 of 30720 events\n',
    ]);
  });

  it('redraws one line on a terminal, and takes it away at the end', () => {
    const written = run({ isTTY: true, columns: 80 }, 2);
    assert.equal(written.length, 12);
    assert.ok(written.slice(0, -1).every((text) => text.startsWith('\r[') && !text.includes('\n')));
    assert.match(written[0] ?? '', /\[#{20}\.{20}\] {2}50 % {2}2560 of 5120 events$/);
    assert.equal(written.at(-1), '\r\u001b[K');
  });

  it('draws a bar within any width, and none where there is no room', () => {
    assert.equal(drawBar(1, 4, '1 of 4 events', 35), '[###........]  25 %  1 of 4 events');
    assert.equal(drawBar(1, 4, '1 of 4 events', 20), ' 25 % 1 of 4 events');
    assert.equal(drawBar(0, 0, '', 80), `[${'#'.repeat(40)}] 100 %  `);
    for (let columns = 1; columns < 90; columns++) {
      assert.ok(drawBar(3, 4, '3 of 4 events', columns).length < Math.max(columns, 1));
    }
  });
});
