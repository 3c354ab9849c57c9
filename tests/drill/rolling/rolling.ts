/**
 * A fleet of three proxies over NATS is restarted one by one, in order, under clients that never
 * stop: each goes to another proxy when the one it has tells it to leave, or refuses it.
 * What must hold: no transaction that had begun is lost, every row that was acknowledged is there
 * once, and every client that connects again gets all of its work done.
 * Owns: processes, the order of things, what must hold. Leaves: a client's life to
 * rolling-client.ts, how many and how long to rolling.test.ts and main.ts.
 */
import assert from 'node:assert/strict';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { setTimeout as pause } from 'node:timers/promises';
import { ApiClient } from '../../e2e/api-client.ts';
import { DbbouncerProcess } from '../../support/dbbouncer-process.ts';
import { eventually } from '../../support/eventually.ts';
import { startNatsServer } from '../../support/nats-server.ts';
import type { NatsServer } from '../../support/nats-server.ts';
import { RollingClient } from './rolling-client.ts';

export interface RollingOptions {
  readonly clients: number;
  /** Of the whole fleet, one after the other. */
  readonly rounds: number;
  /** Between two restarts. */
  readonly restMs: number;
  readonly say?: (text: string) => void;
}

export interface RollingReport {
  readonly committed: number;
  /** How often clients went to another proxy, by what made them. */
  readonly moves: Readonly<Record<string, number>>;
  /** The longest that one client needed for one piece of work, moves included. */
  readonly slowestMs: number;
  /** From SIGTERM to the end, the longest of all restarts. */
  readonly longestDrainMs: number;
}

const PASSWORD = 'rolling secret';
const API_KEY = 'a-key-of-the-tests-0123456789';
const PROXIES = 3;

interface Rig {
  readonly cluster: PostgresCluster;
  readonly nats: NatsServer;
  readonly controlPlane: DbbouncerProcess;
  readonly proxies: readonly DbbouncerProcess[];
}

/** @throws AssertionError for anything that must not be */
export async function rollingRestart(options: RollingOptions): Promise<RollingReport> {
  const rig = await startRig();
  try {
    return await run(rig, options);
  } finally {
    await Promise.all([...rig.proxies, rig.controlPlane].map((one) => one.stop()));
    await Promise.all([rig.nats.stop(), rig.cluster.remove()]);
  }
}

async function startRig(): Promise<Rig> {
  const [cluster, nats] = await Promise.all([
    startPostgresCluster({ superuserPassword: PASSWORD }),
    startNatsServer(),
  ]);
  const start = (command: 'control-plane' | 'proxy', env: Readonly<Record<string, string>>) =>
    DbbouncerProcess.start({
      command,
      args: ['--nats', nats.url],
      env: { DBBOUNCER_MASTER_KEY: 'a master key for tests only', ...env },
    });
  const [controlPlane, ...proxies] = await Promise.all([
    start('control-plane', { DBBOUNCER_API_KEY: API_KEY }),
    ...Array.from({ length: PROXIES }, () => start('proxy', {})),
  ]);
  const api = new ApiClient(controlPlane.apiUrl, API_KEY);
  await cluster.sql('postgres', 'CREATE TABLE done (work text)');
  await api.addTenant({
    id: 'acme',
    port: cluster.port,
    dbname: 'postgres',
    username: 'postgres',
    password: PASSWORD,
    pool_mode: 'transaction',
    min_connections: 0,
    max_connections: 20,
  });
  await eventually('every proxy serves the tenant', async () => {
    const fleet = await api.fleet();
    const current = fleet.proxies.filter(({ behind }) => behind === 0);
    return current.length === PROXIES;
  });
  return { cluster, nats, controlPlane, proxies };
}

async function run(rig: Rig, options: RollingOptions): Promise<RollingReport> {
  const { say = () => {} } = options;
  const ports = rig.proxies.map(({ postgresPort }) => postgresPort);
  const clients = Array.from(
    { length: options.clients },
    (_, number) => new RollingClient({ name: `c${number}`, number, ports, password: PASSWORD }),
  );
  const lives = clients.map((client) => client.live());
  let longestDrainMs = 0;
  const each = () => Math.min(...clients.map(({ committed }) => committed.length));
  await eventually('every client works', () => each() > 0, { withinMs: 60_000 });
  try {
    for (let round = 1; round <= options.rounds; round += 1) {
      for (const [index, proxy] of rig.proxies.entries()) {
        const fromMs = performance.now();
        await proxy.stop();
        longestDrainMs = Math.max(longestDrainMs, performance.now() - fromMs);
        await proxy.start();
        await pause(options.restMs);
        say(`round ${round}: proxy ${index + 1} is restarted`);
      }
    }
    const before = each();
    await eventually('every client goes on', () => each() > before + 2, { withinMs: 30_000 });
  } finally {
    for (const client of clients) client.stop();
    await Promise.all(lives);
  }
  assertNothingLost(clients);
  await assertDoneOnce(rig.cluster, clients);
  return {
    committed: clients.reduce((sum, { committed }) => sum + committed.length, 0),
    moves: movesOf(clients),
    slowestMs: Math.max(...clients.map(({ slowestMs }) => slowestMs)),
    longestDrainMs,
  };
}

function assertNothingLost(clients: readonly RollingClient[]): void {
  const broken = clients.flatMap(({ broken }) => broken);
  assert.deepEqual(broken, [], 'transactions that had begun and did not come to their end');
}

/** Of each piece of work there is one row: acknowledged, and not done again. */
async function assertDoneOnce(
  cluster: PostgresCluster,
  clients: readonly RollingClient[],
): Promise<void> {
  const rows = await cluster.sql('postgres', 'SELECT work FROM done');
  const done = rows.map(({ work }) => String(work)).toSorted();
  const acknowledged = clients.flatMap(({ committed }) => committed).toSorted();
  assert.deepEqual(done, acknowledged);
}

function movesOf(clients: readonly RollingClient[]): Record<string, number> {
  const moves: Record<string, number> = {};
  for (const client of clients) {
    for (const [why, count] of client.moves) moves[why] = (moves[why] ?? 0) + count;
  }
  return moves;
}
