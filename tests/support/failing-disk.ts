/**
 * A disk that fails for a process that runs: the kernel answers its system calls on one file with
 * an error. Nothing in the process knows; its own threads, locks and retries are what they are.
 * Source: strace(1), --inject.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Failure {
  readonly calls: readonly string[];
  readonly error: 'ENOSPC' | 'EIO';
  /** Calls that end well before the first that fails. Default: 0 */
  readonly after?: number;
}

/**
 * Fails what `pid` does to `file`, from when this resolves until what it gives is called.
 * @throws Error with strace's words when it may not
 */
export async function failDisk(
  pid: number,
  file: string,
  { calls, error, after = 0 }: Failure,
): Promise<() => Promise<void>> {
  const names = calls.join(',');
  const when = `when=${after + 1}+`;
  const inject = ['-e', `trace=${names}`, '-e', `inject=${names}:error=${error}:${when}`];
  const strace = spawn('strace', ['-f', '-P', file, ...inject, '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`strace ${why}: ${said}`));
    strace.once('error', ({ message }) => fail(`cannot be run (package "strace"): ${message}`));
    strace.once('exit', () => fail('ended; it needs the right to trace (CAP_SYS_PTRACE)'));
    strace.stderr.on('data', (chunk: Buffer) => {
      said += String(chunk);
      if (said.includes(' attached')) resolve();
    });
  });
  return async () => {
    const ended = once(strace, 'close');
    strace.kill('SIGINT');
    await ended;
  };
}
