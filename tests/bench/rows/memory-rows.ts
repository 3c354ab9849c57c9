/** The row of clients that have logged in and say nothing: the memory that each takes. */
import { setTimeout as pause } from 'node:timers/promises';
import { privateBytes } from '../contender.ts';
import type { Contender } from '../contender.ts';
import { gather } from '../crowd/crowd.ts';
import { alone, value } from '../goals.ts';
import type { Row, RowContext, Sample } from '../row.ts';
import { settled } from '../settled.ts';

const IDLE_CLIENTS = 5_000;
const PATIENCE_MS = 30_000;
/** What logins have left behind is swept away by and by; the least is what clients keep. */
const SWEPT_WITHIN_MS = 20_000;
const LOOK_INTERVAL_MS = 1_000;

export const MEMORY_ROWS: readonly Row[] = [
  {
    key: 'idle-memory',
    title: 'memory of an idle client',
    unit: 'bytes/client',
    better: 'less',
    goals: [alone('at most', 'bytes', value, { bar: 6_000, dream: 3_000 })],
    direct: 'absent',
    stage: 'common',
    needs: 'transaction',
    turns: 'once',
    run: idleMemory,
  },
];

async function idleMemory(contender: Contender, { seconds }: RowContext): Promise<Sample> {
  const { host, port, login, pid = 0 } = contender;
  const before = await leastBytes(pid);
  const crowd = await gather({
    host,
    port,
    clients: IDLE_CLIENTS,
    logins: [login],
    sql: 'SELECT 1',
    rate: 1,
    seconds,
    patienceMs: PATIENCE_MS,
  });
  const after = await leastBytes(pid);
  crowd.kill();
  await settled(pid);
  return { value: (after - before) / IDLE_CLIENTS, work: 0 };
}

async function leastBytes(pid: number): Promise<number> {
  await settled(pid);
  let least = Infinity;
  const untilMs = performance.now() + SWEPT_WITHIN_MS;
  while (performance.now() < untilMs) {
    least = Math.min(least, privateBytes(pid));
    await pause(LOOK_INTERVAL_MS);
  }
  return least;
}
