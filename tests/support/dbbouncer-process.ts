/**
 * `dbbouncer up | control-plane | proxy` as a real process, on loopback ports and in a folder that
 * stay its own over restarts, for tests of what outlives a process.
 * Owns: the process, its folder, waiting until it serves, its log. Neither process nor folder
 * outlives the test process, not even after kill -9 (scratch.ts).
 * Leaves: servers it talks to (NATS, PostgreSQL) to the caller.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach } from 'node:test';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import type { ScratchFolder } from '@dbbouncer/cli/demo/scratch-folder.ts';
import { eventually } from './eventually.ts';
import { dbbouncer } from './processes.ts';
import type { Ended, Program } from './processes.ts';
import { scratchOfTest } from './scratch.ts';

export type DbbouncerCommand = 'up' | 'control-plane' | 'proxy';

/** `ready`: it says that it serves; `alive`: it answers, ready or not. */
export type Phase = 'ready' | 'alive';

export interface DbbouncerOptions {
  readonly command: DbbouncerCommand;
  /** Flags besides those for ports and the data folder. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Called with the process's own folder before its first start, to put files there. */
  readonly prepare?: (folder: string) => Promise<void>;
}

const HOST = '127.0.0.1';
const SERVES_WITHIN_MS = 20_000;
/** After SIGTERM; then it is killed, and the test fails. */
const ENDS_WITHIN_MS = 10_000;
const PORT_ATTEMPTS_MAX = 3;
const LOG_CHARS_SHOWN = 8_000;

const running = new Set<DbbouncerProcess>();
let processesMade = 0;

export class DbbouncerProcess {
  readonly host = HOST;
  /** Where it keeps its data; empty before the first start. */
  readonly dataDir: string;
  /** Its working directory, above `dataDir`. */
  readonly folder: string;
  readonly #options: DbbouncerOptions;
  readonly #scratch: ScratchFolder;
  readonly #name: string;
  #ports: Ports;
  #program: Program | undefined;
  #formerLogs = '';

  private constructor(options: DbbouncerOptions, scratch: ScratchFolder, ports: Ports) {
    processesMade += 1;
    this.#name = `${options.command} #${processesMade}`;
    this.folder = join(scratch.path, `process-${processesMade}`);
    this.dataDir = join(this.folder, 'data');
    this.#options = options;
    this.#scratch = scratch;
    this.#ports = ports;
  }

  /** Started and ready. @throws Error with its log when it is not within 20 s. */
  static async start(options: DbbouncerOptions): Promise<DbbouncerProcess> {
    const made = new DbbouncerProcess(options, await scratchOfTest(), await findPorts());
    await mkdir(made.folder, { recursive: true });
    await options.prepare?.(made.folder);
    for (let attempt = 1; ; attempt += 1) {
      try {
        await made.start();
        return made;
      } catch (error) {
        await made.kill();
        // Another program may have taken a port between finding it and using it.
        if (attempt === PORT_ATTEMPTS_MAX || !/is in use/.test(made.log)) throw error;
        made.#ports = await findPorts();
      }
    }
  }

  /** Started, and neither stopped nor killed here since. */
  get isRunning(): boolean {
    return this.#program !== undefined;
  }

  /** Of the process that runs now. @throws Error when none does */
  get pid(): number {
    if (this.#program === undefined) throw new Error(`${this.#name} does not run`);
    return this.#program.pid;
  }

  get postgresPort(): number {
    return this.#ports.postgres;
  }

  get apiUrl(): string {
    return `http://${HOST}:${this.#ports.api}`;
  }

  get metricsUrl(): string {
    return `http://${HOST}:${this.#ports.metrics}`;
  }

  /** What it wrote in all its lives, standard error and output. */
  get log(): string {
    const { stderr = '', stdout = '' } = this.#program ?? {};
    return `${this.#formerLogs}${stderr}${stdout}`;
  }

  /** Starts it again, on its ports and data. @throws Error with its log when it does not serve. */
  async start(phase: Phase = 'ready'): Promise<void> {
    if (this.#program !== undefined) throw new Error(`${this.#name} runs already`);
    const { command, args = [], env = {} } = this.#options;
    const flags = [...portFlags(command, this.#ports), '--host', HOST, '--data-dir', this.dataDir];
    const program = dbbouncer([command, ...flags, ...args], { env, cwd: this.folder });
    const { pid } = program;
    this.#program = program;
    this.#scratch.guard(pid);
    running.add(this);
    void program.ended().then(() => this.#scratch.forget(pid));
    await this.#serves(program, phase);
  }

  async #serves(program: Program, phase: Phase): Promise<void> {
    let end: Ended | undefined;
    void program.ended().then((ended) => (end = ended));
    const path = phase === 'ready' ? '/ready' : '/health';
    const probe = async (): Promise<boolean> => {
      if (end === undefined) return await this.#answers(path);
      const how = end.signal ?? `code ${end.code}`;
      throw new Error(`${this.#name} ended with ${how} before it was ${phase}:\n${this.log}`);
    };
    const limits = { withinMs: SERVES_WITHIN_MS, onFailure: () => this.log };
    await eventually(`${this.#name} answers ${path}`, probe, limits);
  }

  /** Ends it with `signal` and resolves when it is gone; nothing to do when it does not run. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#program?.signal(signal);
    await this.#gone();
  }

  /** Ends it in an orderly way. @throws Error with its log when it takes 10 s or fails. */
  async stop(): Promise<void> {
    const program = this.#program;
    if (program === undefined) return;
    program.signal('SIGTERM');
    let isLate = false;
    const limit = setTimeout(() => {
      isLate = true;
      program.signal('SIGKILL');
    }, ENDS_WITHIN_MS);
    const { code, signal } = await program.ended();
    clearTimeout(limit);
    await this.#gone();
    if (code === 0) return;
    const how = isLate ? `did not end in ${ENDS_WITHIN_MS} ms` : `ended with ${signal ?? code}`;
    throw new Error(`${this.#name} ${how} on SIGTERM:\n${this.log}`);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async #gone(): Promise<void> {
    const ended = await this.#program?.ended();
    if (ended !== undefined) this.#formerLogs += `${ended.stderr}${ended.stdout}-- ended\n`;
    this.#program = undefined;
    running.delete(this);
  }

  /** Whether every port that says how it is says 200 at `path`. */
  async #answers(path: string): Promise<boolean> {
    const { command } = this.#options;
    const urls = [
      ...(command === 'proxy' ? [] : [this.apiUrl]),
      ...(command === 'control-plane' ? [] : [this.metricsUrl]),
    ];
    const answers = await Promise.all(urls.map((url) => isOk(`${url}${path}`)));
    return answers.every(Boolean);
  }

  /** The end of its log, under its name, for a person who reads of a failure. */
  describe(): string {
    return `--- ${this.#name}, log:\n${this.log.slice(-LOG_CHARS_SHOWN)}`;
  }
}

/** Has every failure in this test file followed by the logs of the processes that ran then. */
export function tellLogsOfFailures(): void {
  afterEach((test) => {
    if (!('passed' in test) || test.passed) return;
    for (const one of running) process.stderr.write(`${one.describe()}\n`);
  });
}

interface Ports {
  readonly api: number;
  readonly postgres: number;
  readonly metrics: number;
}

async function findPorts(): Promise<Ports> {
  const ports = new Set<number>();
  while (ports.size < 3) ports.add(await freePort('127.0.0.1'));
  const [api = 0, postgres = 0, metrics = 0] = ports;
  return { api, postgres, metrics };
}

function portFlags(command: DbbouncerCommand, { api, postgres, metrics }: Ports): string[] {
  const control = ['--api-port', String(api)];
  const proxy = ['--postgres-port', String(postgres), '--metrics-port', String(metrics)];
  if (command === 'up') return [...control, ...proxy];
  return command === 'proxy' ? proxy : control;
}

async function isOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(SERVES_WITHIN_MS) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
