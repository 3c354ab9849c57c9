/**
 * A small fleet in this process, over a real nats-server: a control plane with its API and some
 * proxies, each with a connection to NATS, a folder and an identity of its own, and one PostgreSQL
 * server whose database `postgres` is that of every tenant.
 * Owns: starting and stopping them, and logging in.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { startProxy } from '@dbbouncer/data-plane/app.ts';
import type { RunningProxy } from '@dbbouncer/data-plane/app.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import { API_KEY, tenantBody, TestControlPlane } from '../control-plane/harness.ts';
import { eventually } from '../support/eventually.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';
import { RawClient } from '../support/raw-client.ts';

const HOST = '127.0.0.1';
const MASTER_KEY = 'a master key of the test fleet';
const USER = 'postgres';
const PASSWORD = 'fleet secret';

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

export interface TestFleetOptions {
  /** Their ids. */
  readonly proxies: readonly string[];
  readonly tenants: readonly string[];
}

export class TestFleet {
  readonly cluster: PostgresCluster;
  readonly nats: NatsServer;
  readonly plane: TestControlPlane;
  readonly members: readonly Member[];
  readonly #alive: NodeJS.Timeout;

  private constructor(parts: {
    readonly cluster: PostgresCluster;
    readonly nats: NatsServer;
    readonly plane: TestControlPlane;
    readonly members: readonly Member[];
    readonly alive: NodeJS.Timeout;
  }) {
    this.cluster = parts.cluster;
    this.nats = parts.nats;
    this.plane = parts.plane;
    this.members = parts.members;
    this.#alive = parts.alive;
  }

  /** Resolves when every proxy serves every tenant. */
  static async start({ proxies, tenants }: TestFleetOptions): Promise<TestFleet> {
    // Neither timers of the product nor the server keep the process alive.
    const alive = setInterval(() => {}, 1_000);
    const [cluster, nats] = await Promise.all([
      startPostgresCluster({ superuserPassword: PASSWORD }),
      startNatsServer(),
    ]);
    const planeEnv = { DBBOUNCER_API_KEY: API_KEY, DBBOUNCER_MASTER_KEY: MASTER_KEY };
    const plane = new TestControlPlane(planeEnv, connect(nats, 'control plane'), 'shared');
    await plane.start();
    const members = await Promise.all(proxies.map((id) => startMember(nats, id)));
    const fleet = new TestFleet({ cluster, nats, plane, members, alive });
    await fleet.heard(proxies.length);
    for (const id of tenants) await fleet.#register(id);
    return fleet;
  }

  async #register(id: string): Promise<void> {
    const server = { host: HOST, port: this.cluster.port, dbname: 'postgres' };
    const login = { username: USER, password: PASSWORD, pool_mode: 'transaction' };
    const body = tenantBody(id, { ...server, ...login });
    const { status, text } = await this.plane.call('POST', '/tenants?wait=applied', { body });
    assert.equal(status, 201, text);
  }

  /** A client of `tenant`, logged in; `minor` is that of its protocol. */
  login(member: Member, tenant: string, minor = 0): Promise<RawClient> {
    return RawClient.login(member, { user: USER, password: PASSWORD, database: tenant, minor });
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
    await Promise.all([this.nats.stop(), this.cluster.remove()]);
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
