/**
 * The program of one worker, which a supervisor starts (run-planes.ts); nobody else does.
 * Owns: the process of the worker, its signals and its exit code.
 * Leaves: all else to data-plane/src/workers/worker.ts.
 */
import { runWorker } from '@dbbouncer/data-plane/workers/worker.ts';
import type { WorkerChannel } from '@dbbouncer/data-plane/workers/worker.ts';
import type { ToWorker } from '@dbbouncer/data-plane/workers/messages.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { createPinoLogger } from '@dbbouncer/shared/logging/pino-logger.ts';
import { EXIT } from './exit.ts';
import { keptAlive } from './kept-alive.ts';
import { openBus } from './run-planes.ts';
import { exitOnUncaught } from './stop-signal.ts';

const env = process.env;

const channel: WorkerChannel = {
  send: (message) =>
    new Promise((resolve) => {
      if (process.connected) process.send?.(message, undefined, undefined, () => resolve());
      else resolve();
    }),
  onMessage: (listener) => process.on('message', (message) => listener(message as ToWorker)),
  onClosed: (listener) => process.on('disconnect', listener),
};

// A terminal sends these to the supervisor too, which tells its workers what to do.
for (const signal of ['SIGINT', 'SIGUSR2', 'SIGHUP'] as const) process.on(signal, () => {});

const asked = new AbortController();
process.on('SIGTERM', () => asked.abort());

try {
  await keptAlive(
    runWorker({
      channel,
      clock: systemClock,
      readEnv: (name) => env[name],
      asked: asked.signal,
      makeLog: ({ logLevel }) => {
        const log = createPinoLogger(logLevel);
        exitOnUncaught(log);
        return log;
      },
      openBus: (settings, log) =>
        settings.nats === undefined ? undefined : openBus(settings, 'proxy', log),
    }),
  );
  process.exit(EXIT.ok);
} catch {
  // The supervisor has been told, and says it.
  process.exit(EXIT.failure);
}
