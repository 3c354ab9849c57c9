/**
 * Rows of one client whose work may not be put among others' beside 64 that read without pause:
 * how long it waits.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { alone, lessThanTheirs, value } from '../goals.ts';
import { pgbench } from '../pgbench.ts';
import type { Row } from '../row.ts';
import { script } from './pgbench-rows.ts';

const READERS = 64;
/** The readers are at full speed, and stay so until the lone client has ended. */
const AHEAD_MS = 500;
const LONGER_SECONDS = 1;
/** Of an undisturbed reader's wait this is a thousandfold; a person still calls it soon. */
const WAIT_MS_MAX = 1_000;

export const LONE_ROWS: readonly Row[] = [
  lone('lone-writer', 'one that writes', 'one-writer'),
  lone('lone-transaction', 'one BEGIN … COMMIT', 'one-transaction'),
];

function lone(key: string, who: string, scriptName: string): Row {
  return {
    key,
    title: `${who}, beside ${READERS} that read without pause`,
    unit: 'ms p99',
    better: 'less',
    goals: [
      alone('at most', 'its longest wait, ms', ({ maxMs }) => maxMs, { bar: WAIT_MS_MAX }),
      lessThanTheirs('p99 of it', value, {}),
    ],
    direct: 'beside',
    stage: 'common',
    needs: 'transaction',
    turns: 'repeated',
    run: async (contender, { programs, seconds }) => {
      const crowd = {
        args: ['-S'],
        clients: READERS,
        seconds: seconds + LONGER_SECONDS,
        latencySampling: 0.01,
      };
      const readers = pgbench(programs.pgbench, crowd, contender);
      // When the lone client fails, the readers' words are not needed.
      readers.catch(() => {});
      await pause(AHEAD_MS);
      const one = { args: ['-f', script(scriptName)], clients: 1, seconds, latencySampling: 1 };
      const result = await pgbench(programs.pgbench, one, contender);
      const { tps, transactions } = await readers;
      const counts = { 'its own tps': result.tps, 'tps of the readers': tps };
      return { ...result, value: result.p99Ms, work: transactions + result.transactions, counts };
    },
  };
}
