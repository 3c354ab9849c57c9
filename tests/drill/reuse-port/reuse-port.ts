/**
 * Two proxies that know nothing of each other on one port (reuse_port), and clients that connect
 * without end while one of them is stopped and started again: how many are reset, because they sat
 * in the queue of the listening socket that was closed.
 * Source: socket(7), SO_REUSEPORT: each socket has a queue of its own, and it ends with the socket.
 */
import { join } from 'node:path';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { Openers } from '../../e2e/openers.ts';
import type { Opened } from '../../e2e/openers.ts';
import { eventually } from '../../support/eventually.ts';
import { dbbouncer } from '../../support/processes.ts';
import type { Program } from '../../support/processes.ts';
import { scratchOfTest } from '../../support/scratch.ts';

export interface ReusePortReport {
  readonly opened: readonly Opened[];
  /** While both and while one listened, on average. */
  readonly perSecond: number;
}

/** Stops and starts one of two proxies `stops` times under `atOnce` clients. */
export async function reusePort(stops: number, atOnce: number): Promise<ReusePortReport> {
  const port = await freePort('127.0.0.1');
  const lasting = await Sharer.start(port);
  const restarted = await Sharer.start(port);
  const fromMs = performance.now();
  const openers = Openers.start(port, atOnce);
  try {
    for (let stop = 0; stop < stops; stop += 1) {
      await openers.more(atOnce * 10);
      await restarted.stop();
      await openers.more(atOnce * 10);
      await restarted.start();
    }
    await openers.more(atOnce * 10);
    const opened = await openers.stop();
    return { opened, perSecond: (opened.length * 1_000) / (performance.now() - fromMs) };
  } finally {
    await openers.stop();
    await Promise.all([lasting.stop(), restarted.stop()]);
  }
}

/** `dbbouncer up` on a port that it shares; it has no tenant, and asks every client for a proof. */
class Sharer {
  readonly #flags: readonly string[];
  readonly #readyUrl: string;
  #program: Program | undefined;

  private constructor(flags: readonly string[], readyUrl: string) {
    this.#flags = flags;
    this.#readyUrl = readyUrl;
  }

  static async start(port: number): Promise<Sharer> {
    const metricsPort = await freePort('127.0.0.1');
    const { path } = await scratchOfTest();
    const ports = `--postgres-port ${port} --api-port 0 --metrics-port ${metricsPort}`;
    const folder = join(path, `sharer-${metricsPort}`);
    const words = `--host 127.0.0.1 ${ports} --log-level error --data-dir ${folder}`;
    const flags = words.split(' ');
    const sharer = new Sharer(flags, `http://127.0.0.1:${metricsPort}/ready`);
    await sharer.start();
    return sharer;
  }

  async start(): Promise<void> {
    const env = { DBBOUNCER_REUSE_PORT: 'true', DBBOUNCER_LOGIN_THROTTLE_FAILURES: '0' };
    this.#program = dbbouncer(['up', ...this.#flags], { env });
    const isReady = async () => (await fetch(this.#readyUrl).catch(() => undefined))?.ok === true;
    await eventually('the proxy is ready', isReady, {
      withinMs: 30_000,
      onFailure: () => this.#program?.stderr ?? '',
    });
  }

  async stop(): Promise<void> {
    this.#program?.signal('SIGTERM');
    await this.#program?.ended();
  }
}
