/** The fleet drill in a short form: the accidents that take the least time, under a small load. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { ACCIDENTS } from './accidents.ts';
import { fleetDrill } from './fleet-drill.ts';

tellLogsOfFailures();

const SHORT: ReadonlySet<string> = new Set(['worker-killed', 'delta-forged']);

describe('a fleet of 3 proxies under 30 clients', { timeout: 120_000 }, () => {
  it('loses what a killed worker had under way, and nothing to a forged delta', async () => {
    const report = await fleetDrill({
      accidents: ACCIDENTS.filter(({ key }) => SHORT.has(key)),
      clients: 30,
      restMs: 100,
      lastsMsMax: 1_000,
    });
    for (const { accident, broken, failures, requests } of report.outcomes) {
      assert.deepEqual(broken, [], accident.key);
      assert.ok(requests > 0, accident.key);
      if (accident.key === 'delta-forged') assert.equal(failures.size, 0);
    }
    assert.ok(report.committed > 0);
  });
});
