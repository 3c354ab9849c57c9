/** When a process has done what it had to do. */
import { setTimeout as pause } from 'node:timers/promises';
import { cpuUs } from './contender.ts';

const INTERVAL_MS = 250;
/** Of one core: timers and reports go on. */
const QUIET = 0.05;
const WITHIN_MS = 15_000;

/** Returns once the process and its children hardly use the processor; `busy`: not within 15 s. */
export async function settled(pid: number): Promise<'quiet' | 'busy'> {
  const untilMs = performance.now() + WITHIN_MS;
  for (let before = cpuUs(pid); performance.now() < untilMs; before = cpuUs(pid)) {
    const beganMs = performance.now();
    await pause(INTERVAL_MS);
    if (cpuUs(pid) - before < (performance.now() - beganMs) * 1_000 * QUIET) return 'quiet';
  }
  return 'busy';
}
