/** The bare relay as a contender: the floor under whatever is written for Node. */
import { join } from 'node:path';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { eventually } from '../../support/eventually.ts';
import { Program } from '../../support/processes.ts';
import type { Contender, Login } from '../contender.ts';
import { answers } from '../probe.ts';

const MAIN = join(import.meta.dirname, 'bare-relay-main.ts');
const STARTS_WITHIN_MS = 10_000;

export interface RunningRelay {
  readonly contender: Contender;
  stop(): Promise<void>;
}

export async function startBareRelay(serverPort: number, login: Login): Promise<RunningRelay> {
  const port = await freePort('127.0.0.1');
  const running = new Program(process.execPath, [MAIN, String(port), String(serverPort)]);
  const contender: Contender = {
    name: 'bare relay in Node',
    side: 'variant',
    host: '127.0.0.1',
    port,
    pid: running.pid,
    login,
  };
  await eventually('the bare relay answers', () => answers(contender), {
    withinMs: STARTS_WITHIN_MS,
    onFailure: () => running.stderr,
  });
  const stop = async () => {
    running.signal('SIGTERM');
    await running.ended();
  };
  return { contender, stop };
}
