/**
 * Programs of this project as real processes: started as a user would, heard, signalled, awaited.
 * A process that a test forgets is killed when the test process ends.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const ROOT = dirname(dirname(import.meta.dirname));
const LAUNCHER = join(ROOT, 'cli', 'bin', 'dbbouncer.mjs');
const APPEARS_WITHIN_MS = 30_000;

export interface Ended {
  /** Nothing when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** What a program may have of the tests' own environment: nothing that sets how it behaves. */
const OF_THE_MACHINE = ['PATH', 'HOME', 'NODE_COMPILE_CACHE'] as const;

/** A process that is running, or was. */
export class Program {
  readonly #child: ChildProcess;
  readonly #ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';

  constructor(command: string, args: readonly string[], { env, cwd = ROOT }: RunOptions = {}) {
    this.#child = spawn(command, args, {
      cwd,
      env: { ...machinesOwn(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    const kill = (): void => void this.#child.kill('SIGKILL');
    process.once('exit', kill);
    this.#ended = once(this.#child, 'close').then(([code, signal]) => {
      process.removeListener('exit', kill);
      const [stdout, stderr] = [this.#stdout, this.#stderr];
      return { code: code as number | null, signal: signal as Ended['signal'], stdout, stderr };
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** All it has written to standard output so far. */
  get stdout(): string {
    return this.#stdout;
  }

  /** All it has written to standard error so far: of our programs, the log. */
  get stderr(): string {
    return this.#stderr;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves when it has ended and all its output is read. */
  ended(): Promise<Ended> {
    return this.#ended;
  }

  /** Resolves with the match once standard output holds `pattern`. @throws when it ends first. */
  says(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#writes('stdout', pattern);
  }

  /** As `says`, of standard error, where the log goes. */
  logs(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#writes('stderr', pattern);
  }

  async #writes(stream: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray> {
    const limit = AbortSignal.timeout(APPEARS_WITHIN_MS);
    const ended = this.#ended.then(() => 'ended' as const);
    for (;;) {
      const match = pattern.exec(stream === 'stdout' ? this.#stdout : this.#stderr);
      if (match !== null) return match;
      const more = once(this.#child[stream] ?? this.#child, 'data', { signal: limit });
      const outcome = await Promise.race([more, ended]).catch(() => 'late' as const);
      if (outcome !== 'ended' && outcome !== 'late') continue;
      const why = outcome === 'ended' ? 'ended without' : `did not in ${APPEARS_WITHIN_MS} ms`;
      throw new Error(`${why} writing ${pattern}:\n${this.#stdout}\n${this.#stderr}`);
    }
  }
}

function machinesOwn(): Record<string, string | undefined> {
  return Object.fromEntries(OF_THE_MACHINE.map((name) => [name, process.env[name]]));
}

/** `dbbouncer ARGS` with this Node, in an environment without settings. */
export function dbbouncer(args: readonly string[], options?: RunOptions): Program {
  return new Program(process.execPath, [LAUNCHER, ...args], options);
}

/** Runs a line as pasted into a shell, to its end. */
export function shell(line: string, options?: RunOptions): Promise<Ended> {
  return new Program('/bin/sh', ['-c', line], options).ended();
}

/** Command lines of running processes that hold `text`; only where there is a /proc. */
export function processesMentioning(text: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => commandLine(pid))
    .filter((line) => line.includes(text));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    // It ended while the list was read.
    return '';
  }
}
