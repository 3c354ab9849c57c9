/** How busy this very process is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { ProcessVitals } from './vitals.ts';

const STALL_MS = 300;

/** So many turns of the event loop, each with a tick of what measures it. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await pause(25);
}

/** Counted on the processor: how much of it this process gets is others' affair. */
function stall(): void {
  const from = process.cpuUsage();
  let usedMs = 0;
  while (usedMs < STALL_MS) {
    const { user, system } = process.cpuUsage(from);
    usedMs = (user + system) / 1_000;
  }
}

describe('ProcessVitals', () => {
  it('sees a stall of 300 ms as processor time and as delay of the event loop', async (t) => {
    const vitals = new ProcessVitals(systemClock);
    t.after(() => vitals.stop());
    await turns(5);
    vitals.read();
    const fromMs = performance.now();
    stall();
    await turns(3);
    const { cpuShare, loopDelayP50Ms, loopDelayMaxMs, rssBytes, heapUsedBytes } = vitals.read();
    const usedMs = cpuShare * (performance.now() - fromMs);
    assert.ok(usedMs >= STALL_MS - 10 && cpuShare < 16, `${usedMs} ms, ${cpuShare} of a core`);
    assert.ok(loopDelayMaxMs >= STALL_MS - 50, `${loopDelayMaxMs} ms`);
    assert.ok(loopDelayP50Ms < loopDelayMaxMs, `${loopDelayP50Ms} of ${loopDelayMaxMs} ms`);
    assert.ok(rssBytes > heapUsedBytes && heapUsedBytes > 1e6);
  });
});
