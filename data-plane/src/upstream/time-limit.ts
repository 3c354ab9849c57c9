/** A limit in time for what the proxy itself asks of a server connection. */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { PostgresBackend } from './postgres-backend.ts';

export interface TimeLimit {
  readonly clock: Clock;
  readonly limitMs: number;
  /** What did not come in time, and the setting that says how long: for the log. */
  readonly text: string;
}

/**
 * Settles as `work` does. When that has not settled after `limitMs`, the connection is cut, and so
 * it ends with ConversationLost: a server that answers no more holds nobody up for longer.
 */
export async function withinTime<T>(
  backend: PostgresBackend,
  { clock, limitMs, text }: TimeLimit,
  work: () => Promise<T>,
): Promise<T> {
  const timer = clock.after(limitMs, () => backend.socket.destroy(new Error(text)));
  try {
    return await work();
  } finally {
    timer.cancel();
  }
}
