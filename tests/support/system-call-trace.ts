/**
 * What a running program asks of the kernel, call by call in their order, as strace sees it.
 * Owns: strace, and reading what it writes. Leaves: what the calls mean to the test.
 * A write is listed when it begins and every other call when it has ended: what is listed before a
 * write was over by then.
 * Source: strace(1): -f (threads), -y (names of open files), -s (how much of the data).
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { scratchOfTest } from './scratch.ts';

export interface SystemCall {
  readonly name: string;
  /** What strace says of its arguments: the file in angle brackets, then the data. */
  readonly args: string;
}

/** Enough for a page of SQLite: what is not printable takes four characters. */
const DATA_BYTES_MAX = 4_096;
const LINE = /^(\d+) +(\w+)\((.*)$/s;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>/;
const UNFINISHED = ' <unfinished ...>';
let traces = 0;

export class SystemCallTrace {
  readonly #strace: ChildProcess;
  readonly #file: string;

  private constructor({ strace, file }: Tracing) {
    this.#strace = strace;
    this.#file = file;
  }

  /** Begins to trace a process that runs. @throws Error with strace's words when it may not */
  static async of(pid: number, names: readonly string[]): Promise<SystemCallTrace> {
    const tracing = await trace(names, ['-p', String(pid)]);
    await says(tracing.strace, / attached/);
    return new SystemCallTrace(tracing);
  }

  /** Lets the process run on untraced. @returns all calls since the beginning */
  async end(): Promise<readonly SystemCall[]> {
    const ended = once(this.#strace, 'close');
    this.#strace.kill('SIGINT');
    await ended;
    return callsIn(this.#file);
  }
}

/** Of a program from its start to its end. @throws Error when it fails, or may not be traced */
export async function callsOf(
  names: readonly string[],
  command: readonly string[],
): Promise<readonly SystemCall[]> {
  const { strace, file } = await trace(names, command);
  let said = '';
  strace.stderr?.on('data', (chunk: Buffer) => (said += String(chunk)));
  const [code] = (await once(strace, 'close')) as [number | null];
  if (code !== 0) throw new Error(`strace ${command.join(' ')} ended with ${code}:\n${said}`);
  return callsIn(file);
}

interface Tracing {
  readonly strace: ChildProcess;
  readonly file: string;
}

async function trace(names: readonly string[], target: readonly string[]): Promise<Tracing> {
  traces += 1;
  const file = join((await scratchOfTest()).path, `system-calls-${traces}`);
  const what = ['-f', '-y', '-s', String(DATA_BYTES_MAX), '-e', `trace=${names.join(',')}`];
  const strace = spawn('strace', [...what, '-o', file, ...target], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return { strace, file };
}

function says(strace: ChildProcess, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    const fail = (why: string) => reject(new Error(`strace ${why}: ${said}`));
    strace.once('error', ({ message }) => fail(`cannot be run (package "strace"): ${message}`));
    strace.once('exit', () => fail('ended; it needs the right to trace (CAP_SYS_PTRACE)'));
    strace.stderr?.on('data', (chunk: Buffer) => {
      said += String(chunk);
      if (pattern.test(said)) resolve();
    });
  });
}

function callsIn(file: string): readonly SystemCall[] {
  const text = readFileSync(file, 'latin1');
  rmSync(file);
  const calls: SystemCall[] = [];
  const unfinished = new Map<string, SystemCall>();
  for (const line of text.split('\n')) {
    const [, thread = '', resumed] = RESUMED.exec(line) ?? [];
    const [, caller = '', name, args = ''] = LINE.exec(line) ?? [];
    if (resumed !== undefined) {
      const call = unfinished.get(thread);
      unfinished.delete(thread);
      if (call !== undefined) calls.push(call);
    } else if (name !== undefined) {
      const isWrite = name.includes('write');
      if (isWrite || !args.endsWith(UNFINISHED)) calls.push({ name, args });
      else unfinished.set(caller, { name, args });
    }
  }
  return calls;
}
