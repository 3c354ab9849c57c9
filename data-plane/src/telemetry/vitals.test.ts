/** How busy this very process is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { ProcessVitals } from './vitals.ts';

const turns = async (ms: number) => {
  await new Promise((resolve) => setTimeout(resolve, ms));
};

describe('ProcessVitals', () => {
  it('sees a stall of 300 ms as processor time and as delay of the event loop', async (t) => {
    const vitals = new ProcessVitals(systemClock);
    t.after(() => vitals.stop());
    await turns(60);
    vitals.read();
    const endMs = performance.now() + 300;
    while (performance.now() < endMs);
    await turns(60);
    const { cpuShare, loopDelayP50Ms, loopDelayMaxMs, rssBytes, heapUsedBytes } = vitals.read();
    assert.ok(cpuShare > 0.2 && cpuShare < 16, `${cpuShare} of a core`);
    assert.ok(loopDelayMaxMs > 200 && loopDelayP50Ms < loopDelayMaxMs, `${loopDelayMaxMs} ms`);
    assert.ok(rssBytes > heapUsedBytes && heapUsedBytes > 1e6);
  });
});
