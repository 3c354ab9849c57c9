/**
 * What signals ask for: to stop, by Ctrl-C, SIGTERM, the end of the terminal or of the process that
 * started this one to hand over to it; to replace workers, by SIGUSR2.
 */
import { isatty } from 'node:tty';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { EXIT } from './exit.ts';

/**
 * Within this time a repeated signal is the same Ctrl-C: the terminal sends it to the whole process
 * group, and npm and the launcher pass it on once more.
 */
const ECHO_MS = 500;

/** Somebody looks at what this process says. To be asked before the terminal is gone. */
const AT_TERMINAL = isatty(0) || isatty(2);

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
    // A terminal that is closed asks for the end; anything else that sends it does not.
    process.on('SIGHUP', (name) => {
      if (AT_TERMINAL) receive(name);
    });
    process.once('disconnect', () => receive('disconnect'));
    process.channel?.unref();
  });
}

/**
 * SIGHUP and SIGUSR2 would end the process at once, and every client with it. Other poolers are
 * told to reload by the one; here files are watched, so the log says that there is nothing to do.
 */
export function outliveSignals(log: Logger): void {
  process.on('SIGHUP', () => {
    if (AT_TERMINAL) return;
    const hint = 'the config file, certificates and keys are watched: what changes is taken up';
    log.info({ signal: 'SIGHUP', hint }, 'a signal that asks for nothing');
  });
  process.on('SIGUSR2', () => {
    if (process.listenerCount('SIGUSR2') > 1) return;
    const hint = 'with --workers 2 or more they are replaced one by one';
    log.warn({ signal: 'SIGUSR2', hint }, 'there are no workers to replace');
  });
}

/** Calls `replace` at each SIGUSR2, until what is returned is called. */
export function onReplaceSignal(replace: () => void): () => Promise<void> {
  process.on('SIGUSR2', replace);
  return () => {
    process.off('SIGUSR2', replace);
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
