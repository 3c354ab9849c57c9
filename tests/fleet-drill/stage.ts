/**
 * The stage of a fleet drill: a database, a NATS cluster, two control planes and proxies, as
 * processes of the command line, with a network between each process and NATS that can be cut and
 * slowed.
 * Owns: starting all of it, bringing back whatever an accident has taken, knowing when all is well.
 */
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { CONFIG_LOG, SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { ApiClient } from '../e2e/api-client.ts';
import { DbbouncerProcess } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import { Link } from '../support/link.ts';
import { startNatsCluster } from '../support/nats-cluster.ts';
import type { NatsServer } from '../support/nats-server.ts';
import {
  FLEET_BUDGET,
  FLEET_SIZE,
  PASSWORD,
  PROXIES,
  roleOf,
  TENANTS,
  WORKERS,
} from './tenants.ts';

const NATS_SERVERS = 3;
const API_KEY = 'a-key-of-the-fleet-drill-0123456789';
const MASTER_KEY = 'a master key for the drill only';
const NORMAL_WITHIN_MS = 90_000;
/** For an answer of a control plane that may stand still. */
const ANSWERS_WITHIN_MS = 3_000;
/** Below the patience of clients: they read why there is no server connection for them. */
const ACQUIRE_TIMEOUT = '3s';
/** Short, so that a worker that stands still is noticed in the time of a drill. */
const WORKER_HEARTBEAT = '3s';

/** A process behind a network of its own. */
export interface Member {
  readonly process: DbbouncerProcess;
  readonly network: Link;
}

/** A control plane; which of them leads changes. */
export interface ControlPlane extends Member {
  readonly api: ApiClient;
}

export class Stage {
  readonly database: PostgresCluster;
  readonly nats: readonly NatsServer[];
  readonly controlPlanes: readonly ControlPlane[];
  readonly proxies: readonly Member[];
  /** Of the harness, for what only somebody with full rights on NATS can do. */
  readonly bus: Bus;
  /** How many refused deltas and snapshots each proxy has reported so far. */
  readonly refusals = new Map<string, number>();
  readonly #stopped = new Set<DbbouncerProcess>();
  #changes = 0;

  private constructor(
    parts: Pick<Stage, 'database' | 'nats' | 'controlPlanes' | 'proxies' | 'bus'>,
  ) {
    this.database = parts.database;
    this.nats = parts.nats;
    this.controlPlanes = parts.controlPlanes;
    this.proxies = parts.proxies;
    this.bus = parts.bus;
  }

  /** Everybody is there, and every proxy serves every tenant. */
  static async set(): Promise<Stage> {
    const [database, nats] = await Promise.all([startDatabase(), startNatsCluster(NATS_SERVERS)]);
    const bus = connectNatsBus({
      servers: nats.map(({ url }) => url).join(','),
      name: 'drill',
      replicas: NATS_SERVERS,
      reconnectDelayMs: 100,
    });
    await makeStreams(bus);
    const controlPlanes = await Promise.all([startControlPlane(nats), startControlPlane(nats)]);
    const workers = ['--workers', String(WORKERS)];
    const proxies = await Promise.all(
      Array.from({ length: PROXIES }, (_, index) =>
        startMember('proxy', nats, index === PROXIES - 1 ? workers : []),
      ),
    );
    const stage = new Stage({ database, nats, controlPlanes, proxies, bus });
    const { api } = await stage.leader();
    for (const { id, maxConnections } of TENANTS) {
      await api.addTenant({
        id,
        port: database.port,
        dbname: id,
        username: roleOf(id),
        password: PASSWORD,
        pool_mode: 'transaction',
        min_connections: 0,
        max_connections: maxConnections,
        acquire_timeout: ACQUIRE_TIMEOUT,
      });
    }
    await stage.wellAgain();
    return stage;
  }

  /** The control plane that leads now. @throws Error when none says so within some seconds */
  async leader(): Promise<ControlPlane> {
    return await eventually('a control plane leads', async () => {
      const roles = await Promise.all(this.controlPlanes.map(({ api }) => roleIn(api)));
      return this.controlPlanes[roles.indexOf('leading')];
    });
  }

  /** Nothing of the process runs until `goOn`; its connections stay. */
  freeze(process: DbbouncerProcess): void {
    globalThis.process.kill(process.pid, 'SIGSTOP');
    this.#stopped.add(process);
  }

  goOn(process: DbbouncerProcess): void {
    if (!this.#stopped.delete(process)) return;
    if (process.isRunning) globalThis.process.kill(process.pid, 'SIGCONT');
  }

  /** Changes something that harms nobody; gives the position of the change. */
  async change(): Promise<number> {
    this.#changes += 1;
    const [tenant] = TENANTS;
    const seconds = 10 + (this.#changes % 10);
    const fields = { pause_wait_timeout: `${seconds}s` };
    const { api } = await this.leader();
    await api.patchTenant(tenant?.id ?? '', fields);
    return (await api.fleet()).position;
  }

  /** Brings back whatever is gone; what was cut is whole. */
  async mend(): Promise<void> {
    const members = [...this.controlPlanes, ...this.proxies];
    for (const { process, network } of members) {
      network.mend();
      this.goOn(process);
    }
    for (const server of this.nats) server.resume();
    await Promise.all([
      this.database.start(),
      ...this.nats.map((server) => onItsPort(() => server.start())),
      ...members.map(async ({ process }) => {
        if (!process.isRunning) await onItsPort(() => process.start('alive'));
      }),
    ]);
  }

  /** Resolves when a change is taken and every proxy has applied it. */
  async wellAgain(withinMs = NORMAL_WITHIN_MS): Promise<void> {
    let last: unknown;
    const members = [...this.controlPlanes, ...this.proxies];
    const logs = () => members.map(({ process }) => process.describe()).join('\n');
    const told = { withinMs, onFailure: () => `${JSON.stringify(last)}\n${logs()}` };
    const tried = <Value>(work: () => Promise<Value>) =>
      work().catch((error: unknown) => {
        last = String(error);
        return undefined;
      });
    const position = await eventually('a change is taken', () => tried(() => this.change()), told);
    await eventually(
      'every proxy has applied the change',
      () =>
        tried(async () => {
          const fleet = await (await this.leader()).api.fleet();
          last = fleet;
          const live = fleet.proxies.filter(({ status }) => status === 'live');
          const applied = live.filter((proxy) => proxy.applied_position >= position);
          return applied.length >= FLEET_SIZE ? true : undefined;
        }),
      told,
    );
  }

  async strike(): Promise<void> {
    await this.mend();
    await this.bus.close();
    const members = [...this.proxies, ...this.controlPlanes];
    await Promise.all(members.map(({ process }) => process.kill()));
    for (const { network } of members) network.close();
    await Promise.all(this.nats.map((server) => server.kill()));
    await this.database.remove();
  }
}

/** While it was gone, another program of this machine may have taken its port for a while. */
async function onItsPort(start: () => Promise<void>): Promise<void> {
  await eventually(
    'the port is free again',
    async () => {
      try {
        await start();
        return true;
      } catch (error) {
        if (/already in use|is in use/.test(String(error))) return undefined;
        throw error;
      }
    },
    { withinMs: NORMAL_WITHIN_MS },
  );
}

async function startDatabase(): Promise<PostgresCluster> {
  const database = await startPostgresCluster({
    superuserPassword: PASSWORD,
    maxConnections: 200,
  });
  for (const { id } of TENANTS) {
    await database.sql('postgres', `CREATE ROLE ${roleOf(id)} LOGIN PASSWORD '${PASSWORD}'`);
    await database.sql('postgres', `CREATE DATABASE ${id} OWNER ${roleOf(id)}`);
    await database.sql(id, `CREATE TABLE drill (row text); GRANT ALL ON drill TO ${roleOf(id)}`);
  }
  return database;
}

/** On every server of the cluster, before a process makes them on one. */
async function makeStreams(bus: Bus): Promise<void> {
  const events = { stream: SUBJECTS.eventStream, subject: SUBJECTS.event };
  for (const spec of [CONFIG_LOG, events]) {
    await eventually(
      `the NATS cluster has the stream ${spec.stream}`,
      () =>
        bus
          .log(spec)
          .state()
          .then(
            () => true as const,
            () => undefined,
          ),
      { withinMs: NORMAL_WITHIN_MS },
    );
  }
}

async function startControlPlane(nats: readonly NatsServer[]): Promise<ControlPlane> {
  const member = await startMember('control-plane', nats, ['--durability', 'replicated'], {
    DBBOUNCER_API_KEY: API_KEY,
  });
  return { ...member, api: new ApiClient(member.process.apiUrl, API_KEY, ANSWERS_WITHIN_MS) };
}

async function roleIn(api: ApiClient): Promise<unknown> {
  try {
    return (await api.call('GET', '/health')).body['role'];
  } catch {
    // It is gone, or stands still.
    return undefined;
  }
}

async function startMember(
  command: 'control-plane' | 'proxy',
  nats: readonly NatsServer[],
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Member> {
  const network = await Link.to(nats.map(({ port }) => port));
  const urls = network.ports.map((port) => `nats://127.0.0.1:${port}`).join(',');
  const process = await DbbouncerProcess.start({
    command,
    args: ['--nats', urls, ...args],
    env: {
      DBBOUNCER_MASTER_KEY: MASTER_KEY,
      DBBOUNCER_NATS_REPLICAS: String(NATS_SERVERS),
      DBBOUNCER_FLEET_BUDGET: FLEET_BUDGET,
      DBBOUNCER_EXPECTED_PROXIES: String(FLEET_SIZE),
      DBBOUNCER_WORKER_HEARTBEAT_TIMEOUT: WORKER_HEARTBEAT,
      ...env,
    },
  });
  return { process, network };
}
