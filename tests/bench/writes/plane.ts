/**
 * A control plane to be measured: a process of its own, alone on NATS or with a proxy on the bus in
 * its process, in a folder of its own; under strace where its syncs are to be counted.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { eventually } from '../../support/eventually.ts';
import { startNatsServer } from '../../support/nats-server.ts';
import { Program, ROOT } from '../../support/processes.ts';
import { scratchOfTest } from '../../support/scratch.ts';

export interface PlaneKind {
  readonly bus: 'in_process' | 'nats';
  readonly durability: 'full' | 'normal' | 'replicated';
  /** `counted` costs a little speed. */
  readonly syncs: 'counted' | 'not_counted';
}

export const API_KEY = 'key-of-the-write-bench';
const LAUNCHER = join(ROOT, 'cli', 'bin', 'dbbouncer.mjs');
/** Source: proc(5), /proc/PID/stat: utime and stime in hundredths of a second. */
const [UTIME, STIME] = [11, 12];
const CPU_US_PER_TICK = 10_000;
let planes = 0;

export class MeasuredPlane {
  readonly url: string;
  readonly #program: Program;
  readonly #syncFile: string | undefined;
  readonly #end: () => Promise<void>;

  private constructor(
    url: string,
    program: Program,
    syncFile: string | undefined,
    end: () => Promise<void>,
  ) {
    this.url = url;
    this.#program = program;
    this.#syncFile = syncFile;
    this.#end = end;
  }

  static async start({ bus, durability, syncs }: PlaneKind): Promise<MeasuredPlane> {
    planes += 1;
    const scratch = await scratchOfTest();
    const folder = join(scratch.path, `plane-${planes}`);
    const nats = bus === 'nats' ? await startNatsServer() : undefined;
    const port = await freePort('127.0.0.1');
    const own = ['--host', '127.0.0.1', '--api-port', String(port), '--data-dir', folder];
    const command =
      nats === undefined
        ? ['up', '--postgres-port', '0', '--metrics-port', '0']
        : ['control-plane', '--nats', nats.url];
    const node = [process.execPath, LAUNCHER, ...command, ...own];
    const file = syncs === 'counted' ? `${folder}.syncs` : undefined;
    const [name = '', ...args] = file === undefined ? node : [...traced(file), ...node];
    const program = new Program(name, args, {
      env: {
        DBBOUNCER_API_KEY: API_KEY,
        DBBOUNCER_DURABILITY: durability,
        DBBOUNCER_API_REQUESTS_PER_MINUTE: '100000000',
      },
    });
    scratch.guard(program.pid);
    const url = `http://127.0.0.1:${port}`;
    const isReady = async () => {
      const answer = await fetch(`${url}/ready`).catch(() => undefined);
      if (answer?.ok !== true) return false;
      const { role = 'leading' } = (await answer.json()) as { readonly role?: string };
      return role === 'leading';
    };
    const onFailure = () => program.stderr;
    await eventually('the control plane is ready', isReady, { withinMs: 20_000, onFailure });
    return new MeasuredPlane(url, program, file, async () => {
      program.signal('SIGTERM');
      await program.ended();
      scratch.forget(program.pid);
      await nats?.stop();
    });
  }

  /** Spent so far by all of its threads, in microseconds. */
  cpuUs(): number {
    const stat = readFileSync(`/proc/${this.#program.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[UTIME]) + Number(fields[STIME])) * CPU_US_PER_TICK;
  }

  /** Of the event log, so far. */
  logSyncs(): number {
    if (this.#syncFile === undefined) throw new Error('syncs are not counted');
    const lines = readFileSync(this.#syncFile, 'utf8').split('\n');
    return lines.filter((line) => /(fsync|fdatasync)\(.*dbbouncer\.db-wal>/.test(line)).length;
  }

  async stop(): Promise<void> {
    await this.#end();
  }
}

/**
 * Only what is counted stops the process, which is our own child, and strace beside it: strace(1),
 * --seccomp-bpf and -D.
 */
function traced(file: string): readonly string[] {
  const what = ['-e', 'trace=fsync,fdatasync', '-o', file];
  return ['strace', '-D', '-f', '-y', '--seccomp-bpf', ...what];
}
