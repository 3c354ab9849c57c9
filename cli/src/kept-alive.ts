/**
 * Keeps the process for a command that waits. The timers of the Clock do not, and a process that
 * has nothing else to wait for ends with 0, as if all were done.
 */
import { setTimeout as wait } from 'node:timers/promises';

/** The longest that a timer of Node can be: no command waits for nothing else so long. */
const LONGEST_MS = 2 ** 31 - 1;

/** What `work` gives or throws; until then the process does not end by itself. */
export async function keptAlive<T>(work: Promise<T>): Promise<T> {
  const settled = new AbortController();
  const keeping = wait(LONGEST_MS, undefined, { signal: settled.signal }).catch(() => undefined);
  try {
    return await work;
  } finally {
    settled.abort();
    await keeping;
  }
}
