/**
 * What signals ask for: to stop, by Ctrl-C, SIGTERM, or the end of the process that started this
 * one to hand over to it; to replace workers, by SIGUSR2.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { EXIT } from './exit.ts';

/**
 * Within this time a repeated signal is the same Ctrl-C: the terminal sends it to the whole process
 * group, and npm and the launcher pass it on once more.
 */
const ECHO_MS = 500;

/** Resolves at the first signal, with its name. A second one ends the process at once. */
export function stopSignal(clock: Clock): Promise<string> {
  return new Promise((resolve) => {
    let firstMs: number | undefined;
    const receive = (name: string): void => {
      if (firstMs === undefined) {
        firstMs = clock.nowMs();
        resolve(name);
      } else if (clock.nowMs() - firstMs > ECHO_MS) {
        process.exit(EXIT.failure);
      }
    };
    process.on('SIGINT', receive);
    process.on('SIGTERM', receive);
    process.once('disconnect', () => receive('disconnect'));
    process.channel?.unref();
  });
}

/** Calls `replace` at each SIGUSR2, until what is returned is called. */
export function onReplaceSignal(replace: () => void): () => Promise<void> {
  process.on('SIGUSR2', replace);
  return () => {
    process.off('SIGUSR2', replace);
    // While all ends, a late one must not end the process before that is done.
    process.on('SIGUSR2', () => {});
    return Promise.resolve();
  };
}

/** What nobody caught ends the process: its state is not known any more. */
export function exitOnUncaught(log: Logger): void {
  const end = (error: unknown): void => {
    log.error({ error }, 'unexpected error; the process ends');
    process.exit(EXIT.failure);
  };
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
}
