/**
 * A real nats-server with JetStream for a test: its own temporary folder, its own loopback port.
 * Port and data stay over restarts. Process and folder are gone when the test process has ended,
 * also when it was killed (scratch.ts).
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { delimiter, join } from 'node:path';
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import type { ScratchFolder } from '@dbbouncer/cli/demo/scratch-folder.ts';
import { scratchOfTest } from './scratch.ts';

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  /** Starts it again, on the same port, with the data there is. Does nothing while it runs. */
  start(): Promise<void>;
  /** Ends it in an orderly way; resolves when it is gone. */
  stop(): Promise<void>;
  /** Ends it with SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Stops it in its tracks: connections stay open and nothing answers, until `resume`. */
  freeze(): Promise<void>;
  resume(): void;
  /** Deletes its data. Only while it does not run. */
  wipe(): void;
}

export interface NatsServerOptions {
  /** Refuses everybody else. */
  readonly login?: { readonly user: string; readonly password: string };
  /** What its config file holds, such as TLS and users; addresses and folder are its own. */
  readonly config?: string;
}

const START_ATTEMPTS_MAX = 5;

/** Running and ready. @throws when there is no binary, naming the Debian package that has it. */
export async function startNatsServer({
  login,
  config,
}: NatsServerOptions = {}): Promise<NatsServer> {
  const extra = login === undefined ? [] : ['--user', login.user, '--pass', login.password];
  const scratch = await scratchOfTest();
  if (config !== undefined) extra.push('-c', writtenConfig(scratch, config));
  for (let attempt = 1; ; attempt += 1) {
    const server = new NatsServerProcess(findBinary(), await freePort('127.0.0.1'), extra, scratch);
    try {
      await server.start();
      return server;
    } catch (error) {
      // Another process may have taken the port meanwhile.
      if (attempt === START_ATTEMPTS_MAX) throw error;
    }
  }
}

function writtenConfig({ path }: ScratchFolder, config: string): string {
  const file = join(mkdtempSync(join(path, 'nats-config-')), 'nats.conf');
  writeFileSync(file, config);
  return file;
}

class NatsServerProcess implements NatsServer {
  readonly port: number;
  readonly url: string;
  readonly #binary: string;
  readonly #extraArgs: readonly string[];
  readonly #scratch: ScratchFolder;
  readonly #folder: string;
  #process: ChildProcess | undefined;
  #ready: Promise<void> = Promise.resolve();

  constructor(binary: string, port: number, extraArgs: readonly string[], scratch: ScratchFolder) {
    this.#binary = binary;
    this.#extraArgs = extraArgs;
    this.port = port;
    this.url = `nats://127.0.0.1:${port}`;
    this.#scratch = scratch;
    this.#folder = mkdtempSync(join(scratch.path, 'nats-'));
  }

  async start(): Promise<void> {
    if (this.#process !== undefined) return this.#ready;
    const args = ['-js', '-sd', this.#folder, '-a', '127.0.0.1', '-p', String(this.port)];
    const child = spawn(this.#binary, [...args, ...this.#extraArgs], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const { pid } = child;
    this.#process = child;
    if (pid !== undefined) this.#scratch.guard(pid);
    child.once('exit', () => {
      this.#process = undefined;
      if (pid !== undefined) this.#scratch.forget(pid);
    });
    this.#ready = ready(child);
    await this.#ready;
    // Read on, or it would block on its log; but a test that forgot it may end.
    child.stderr?.resume();
    (child.stderr as Socket).unref();
    child.unref();
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async freeze(): Promise<void> {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error('nats-server does not run');
    process.kill(pid, 'SIGSTOP');
    while (stateOf(pid) !== 'T') await nextTurn();
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  wipe(): void {
    if (this.#process !== undefined) throw new Error('nats-server still runs: stop it first');
    rmSync(join(this.#folder, 'jetstream'), { recursive: true, force: true });
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    child.ref();
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }
}

/** Resolves when the server says that it is ready; rejects with its log when it ends instead. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    const fail = (reason: string) => reject(new Error(`nats-server ${reason}\n${log}`));
    child.once('error', (error) => fail(`could not be run: ${error.message}`));
    child.once('exit', (code) => fail(`ended with code ${code} before it was ready`));
    child.stderr?.setEncoding('utf8');
    child.stderr?.on('data', function read(text: string) {
      log += text;
      if (!log.includes('Server is ready')) return;
      child.stderr?.off('data', read);
      resolve();
    });
  });
}

/** One letter, T for stopped. Source: proc(5), /proc/[pid]/stat, where it follows "(name) ". */
function stateOf(pid: number): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.charAt(stat.lastIndexOf(')') + 2);
}

function findBinary(): string {
  const { NATS_SERVER_BIN: named, PATH: path = '' } = process.env;
  const candidates = [...path.split(delimiter), '/usr/sbin'].map((dir) => join(dir, 'nats-server'));
  const found = (named === undefined ? candidates : [named]).find(isExecutable);
  if (found !== undefined) return found;
  throw new Error(
    named === undefined
      ? 'nats-server is neither on PATH nor in /usr/sbin: install the Debian package ' +
          '"nats-server" or set NATS_SERVER_BIN'
      : `NATS_SERVER_BIN is ${named}, which cannot be run`,
  );
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
