/**
 * The short form of the model test; `npm run model` is the long one. What is chosen follows from
 * the seed; when a process dies within it does not.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { runModel } from './run.ts';

tellLogsOfFailures();
const SEED = 20_260_131;

it('over two crashes each acknowledged one is there, once, everywhere', async (t) => {
  const faults = ['kill_unpublished', 'kill'] as const;
  const report = await runModel({ seed: SEED, lanes: 4, faults, rounds: 2 });
  t.diagnostic(`seed ${SEED}: ${JSON.stringify(report)}`);
  assert.ok(report.unpublished > 0, 'it was killed between commits and publishing');
  assert.ok(report.replayed > 0, 'some that were repeated had been done');
  assert.ok(report.refused > 0, 'some commands had to be refused');
});
