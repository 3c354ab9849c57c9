/**
 * The end of a proxy: sessions between transactions are told and ended, the others when their
 * transaction is over, all of them at the deadline; then the server connections.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { proxyErrors } from './errors.ts';
import type { SessionRegistry } from './session/session.ts';

export interface DrainOptions {
  readonly registry: SessionRegistry;
  readonly pools: { shutdown(): Promise<void> };
  readonly clock: Clock;
  readonly log: Logger;
  /** How long transactions under way may take. */
  readonly timeoutMs: number;
  /**
   * How long nobody is told before: a client that has just been accepted logs in, asks and leaves
   * without noticing.
   */
  readonly graceMs: number;
}

/** How long servers may take to close their connections; the process ends with them anyway. */
const POOLS_TIMEOUT_MS = 3_000;

/** @returns whether server connections are left that have not closed */
export async function drain({
  registry,
  pools,
  clock,
  log,
  timeoutMs,
  graceMs,
}: DrainOptions): Promise<'nothing' | 'connections'> {
  if (graceMs > 0) await within(clock, graceMs, registry.whenEmpty());
  const ending = proxyErrors.fail('SHUTTING_DOWN', 'the proxy is shutting down', {
    hint: 'Connect again; another proxy, or the next start of this one, will serve.',
  });
  registry.endWhenIdle(ending);
  await within(clock, timeoutMs, registry.whenEmpty());
  if (registry.size > 0) {
    log.warn(
      { clients: registry.size, timeoutMs },
      'ending clients that are still in a transaction',
    );
    registry.kill(ending, 'let_finish');
  }
  const closed = await within(clock, POOLS_TIMEOUT_MS, pools.shutdown());
  return closed === 'in_time' ? 'nothing' : 'connections';
}

/** Resolves with `work` or after `timeoutMs`, whatever comes first. */
function within(clock: Clock, timeoutMs: number, work: Promise<void>): Promise<'in_time' | 'late'> {
  return new Promise((resolve) => {
    const timer = clock.after(timeoutMs, () => resolve('late'));
    const done = () => {
      timer.cancel();
      resolve('in_time');
    };
    void work.finally(done);
  });
}
