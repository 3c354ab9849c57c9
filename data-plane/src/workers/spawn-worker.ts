/**
 * A worker as a process of its own, born with the listening sockets of its supervisor.
 * Source: child_process, `stdio` (a number is a descriptor that the child inherits) and
 * `serialization: 'advanced'` (structured clones, so that bytes of the bus travel as bytes).
 */
import { spawn } from 'node:child_process';
import type { InheritedPorts } from '../client-ports.ts';
import type { FromWorker } from './messages.ts';
import type { WorkerProcess } from './worker-life.ts';

/** Standard input, output and error, and the channel: what is inherited comes behind them. */
const FIRST_INHERITED_FD = 4;

/** Under which descriptors a worker finds what it was born with. */
export function inheritedPorts(fds: readonly number[]): InheritedPorts {
  return {
    tcpFd: FIRST_INHERITED_FD,
    unixFd: fds.length > 1 ? FIRST_INHERITED_FD + 1 : undefined,
  };
}

/** @param file the program of workers; @param fds sockets that it inherits */
export function spawnWorker(file: string, fds: readonly number[]): WorkerProcess {
  const child = spawn(process.execPath, [...process.execArgv, file], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...fds],
    serialization: 'advanced',
  });
  let end: ((how: string) => void) | undefined;
  const ended = (how: string): void => {
    end?.(how);
    end = undefined;
  };
  child.on('error', (error) => {
    // Of a child that could not be spawned no exit is told; of one that is gone, it is.
    if (child.pid === undefined) ended(`it could not be spawned: ${error.message}`);
  });
  child.on('exit', (code, signal) => ended(signal ?? `exit code ${code}`));
  return {
    pid: child.pid ?? 0,
    send: (message) => {
      if (child.connected) child.send(message, () => {});
    },
    kill: () => void child.kill('SIGKILL'),
    onMessage: (listener) => void child.on('message', (message) => listener(message as FromWorker)),
    onEnd: (listener) => (end = listener),
  };
}
