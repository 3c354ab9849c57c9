/**
 * Many real proxies in a few processes, beside a control plane: when all of them have applied a
 * position. Ends them with itself.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FromProxies } from './proxies-main.ts';

const MAIN = fileURLToPath(new URL('./proxies-main.ts', import.meta.url));

export interface FleetSize {
  readonly proxies: number;
  readonly processes: number;
}

export class FleetProcesses {
  readonly #folder: string;
  readonly #children: readonly ChildProcess[];
  /** By position, of the processes whose proxies have all applied it: the latest. */
  readonly #applied = new Map<number, { processes: number; atMs: number }>();

  private constructor(folder: string, children: readonly ChildProcess[]) {
    this.#folder = folder;
    this.#children = children;
  }

  /** All of them ready. */
  static async start(nats: string, { proxies, processes }: FleetSize): Promise<FleetProcesses> {
    const folder = mkdtempSync(join(tmpdir(), 'dbbouncer-fleet-'));
    const children = Array.from({ length: processes }, (_, index) => {
      const own = join(folder, String(index));
      mkdirSync(own);
      const count = Math.floor((proxies + index) / processes);
      return fork(MAIN, [nats, own, String(count)]);
    });
    const fleet = new FleetProcesses(folder, children);
    await Promise.all(children.map((child) => fleet.#serving(child)));
    return fleet;
  }

  get pids(): readonly number[] {
    return this.#children.map(({ pid = 0 }) => pid);
  }

  /** When the last proxy applied it, in `machineMs`; nothing before. */
  appliedAtMs(position: number): number | undefined {
    const applied = this.#applied.get(position);
    return applied?.processes === this.#children.length ? applied.atMs : undefined;
  }

  async stop(): Promise<void> {
    const gone = this.#children.map((child) => once(child, 'exit'));
    for (const child of this.#children) child.disconnect();
    await Promise.all(gone);
    rmSync(this.#folder, { recursive: true });
  }

  async #serving(child: ChildProcess): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      child.on('message', (message: FromProxies) => {
        if (message.kind === 'serving') resolve();
        else this.#heard(message.position, message.atMs);
      });
      child.once('exit', (code) => reject(new Error(`proxies ended with ${code}`)));
    });
  }

  #heard(position: number, atMs: number): void {
    const before = this.#applied.get(position);
    const processes = (before?.processes ?? 0) + 1;
    this.#applied.set(position, { processes, atMs: Math.max(before?.atMs ?? 0, atMs) });
  }
}
