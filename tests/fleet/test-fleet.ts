/**
 * A small fleet in this process, over a real nats-server: a control plane with its API and some
 * proxies, each with a connection to NATS, a folder and an identity of its own.
 * Owns: starting and stopping them. Leaves: databases to the caller.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProxy } from '@dbbouncer/data-plane/app.ts';
import type { RunningProxy } from '@dbbouncer/data-plane/app.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import { API_KEY, TestControlPlane } from '../control-plane/harness.ts';
import { eventually } from '../support/eventually.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';

const HOST = '127.0.0.1';
const MASTER_KEY = 'a master key of the test fleet';

export interface Member {
  readonly id: string;
  /** Where clients connect. */
  readonly host: string;
  readonly port: number;
  readonly metricsUrl: string;
  /** What it says to the bus, and hears. */
  readonly bus: Bus;
  readonly running: RunningProxy;
  readonly stop: () => Promise<void>;
}

export class TestFleet {
  readonly nats: NatsServer;
  readonly plane: TestControlPlane;
  readonly members: readonly Member[];
  readonly #alive: NodeJS.Timeout;

  private constructor(parts: {
    readonly nats: NatsServer;
    readonly plane: TestControlPlane;
    readonly members: readonly Member[];
    readonly alive: NodeJS.Timeout;
  }) {
    this.nats = parts.nats;
    this.plane = parts.plane;
    this.members = parts.members;
    this.#alive = parts.alive;
  }

  /** Resolves when the control plane knows every proxy. */
  static async start(
    proxies: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<TestFleet> {
    // Neither timers of the product nor the server keep the process alive.
    const alive = setInterval(() => {}, 1_000);
    const nats = await startNatsServer();
    const planeEnv = { DBBOUNCER_API_KEY: API_KEY, DBBOUNCER_MASTER_KEY: MASTER_KEY, ...env };
    const plane = new TestControlPlane(planeEnv, connect(nats, 'control plane'), 'shared');
    await plane.start();
    const members = await Promise.all(proxies.map((id) => startMember(nats, id)));
    const fleet = new TestFleet({ nats, plane, members, alive });
    await fleet.heard(proxies.length);
    return fleet;
  }

  /** Resolves when the control plane knows so many live proxies that serve the whole log. */
  async heard(count: number): Promise<void> {
    await eventually(`${count} proxies have reported`, async () => {
      const { json } = await this.plane.call('GET', '/fleet');
      const proxies = json['proxies'] as readonly { status: string; behind: number }[];
      const there = proxies.filter(({ status, behind }) => status === 'live' && behind === 0);
      return there.length === count;
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
    await this.plane[Symbol.asyncDispose]();
    await this.nats.stop();
    clearInterval(this.#alive);
  }
}

function connect({ url }: NatsServer, name: string): Bus {
  return connectNatsBus({ servers: url, name, reconnectDelayMs: 40 });
}

async function startMember(nats: NatsServer, id: string): Promise<Member> {
  const dir = await mkdtemp(join(tmpdir(), 'dbb-fleet-'));
  const bus = connect(nats, id);
  const { settings } = resolveSettings({
    flags: { dataDir: dir, host: HOST, postgresPort: '0', metricsPort: '0', proxyId: id },
    env: { DBBOUNCER_MASTER_KEY: MASTER_KEY },
    cwd: dir,
  });
  const running = await startProxy(settings, {
    bus,
    clock: systemClock,
    log: silentLogger,
    readEnv: () => undefined,
    version: 'test',
    reportIntervalMs: 100,
  });
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    await running.stop();
    await bus.close();
    await rm(dir, { recursive: true, force: true });
  };
  return {
    id,
    host: HOST,
    port: running.postgresPort,
    metricsUrl: `http://${HOST}:${running.metricsPort}/metrics`,
    bus,
    running,
    stop: () => (stopped ??= stop()),
  };
}
