/**
 * Many clients come, ask and leave in random order while their database is restarted under them:
 * nobody hangs, nobody reads another's answer, what was committed is there, and nothing is left.
 * Owns: servers, tenants, the order of things, what must hold at the end. Leaves: what clients do
 * to drill-client.ts, how often and how long to drill.test.ts and main.ts.
 */
import assert from 'node:assert/strict';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { live } from './drill-client.ts';
import { Tally } from './tally.ts';

/** In order; `immediate` is a crash of the server, `kill` one of its first process alone. */
export type Outage = 'fast' | 'immediate' | 'kill';

export interface DrillOptions {
  readonly clients: number;
  readonly outages: readonly Outage[];
  /** Clients rest up to so long between two things. */
  readonly restMs: number;
  /** Of undisturbed work before each outage and after the last one. */
  readonly workMs: number;
  readonly seed: number;
  /** Told while it goes on. */
  readonly say?: (text: string) => void;
}

export interface DrillReport {
  readonly tally: Tally;
  /** From the end of each outage until every tenant had answered again. */
  readonly recoveriesMs: readonly number[];
  /** From the leave of the last client until no lease was held. */
  readonly atRestMs: number;
  readonly peakServerConnections: number;
}

const PASSWORD = 'drill secret';
const SERVER_CONNECTIONS_MAX = 150;
/** As client_login_timeout: no other wait has a limit that is longer. */
const HANG_MS = 60_000;
/** From one client's first login to the next one's: in the same process, each costs its proof. */
const ARRIVAL_MS = 10;
/** A statement outside of a transaction may run so long after its client has left. */
const REST_WITHIN_MS = 60_000;

interface DrillTenant {
  readonly id: string;
  readonly poolMode: PoolMode;
  readonly maxConnections: number;
  /** Of twenty clients. */
  readonly share: number;
}

const TENANTS: readonly DrillTenant[] = [
  { id: 'north', poolMode: 'transaction', maxConnections: 20, share: 8 },
  { id: 'south', poolMode: 'transaction', maxConnections: 10, share: 7 },
  { id: 'small', poolMode: 'transaction', maxConnections: 2, share: 4 },
  { id: 'sessions', poolMode: 'session', maxConnections: 100, share: 1 },
];
const CONNECTIONS_MAX = TENANTS.reduce((sum, { maxConnections }) => sum + maxConnections, 0);

/** What clients may read while their database goes and comes. */
const HONEST: ReadonlySet<string> = new Set([
  '57P01', // the server is shut down
  '57P02', // the server has crashed
  '57P03', // the server starts
  '08006', // the server connection was lost
  '08001', // the server cannot be reached
  '53300', // no server connection in time
]);

/** @throws AssertionError for anything that must not be */
export async function drill(options: DrillOptions): Promise<DrillReport> {
  const rig = await startRig();
  try {
    const report = await run(rig, options);
    assertHolds(report);
    await assertCommitted(rig.cluster, report.tally);
    return report;
  } finally {
    await rig.proxy.stop();
    await rig.cluster.remove();
  }
}

interface Rig {
  readonly cluster: PostgresCluster;
  readonly proxy: TestProxy;
}

async function startRig(): Promise<Rig> {
  const cluster = await startPostgresCluster({
    superuserPassword: PASSWORD,
    maxConnections: SERVER_CONNECTIONS_MAX,
  });
  for (const { id } of TENANTS) {
    await cluster.sql('postgres', `CREATE DATABASE ${id}`);
    await cluster.sql(id, 'CREATE TABLE drill (row text); CREATE TABLE drill_copy (a text)');
  }
  const tenants = TENANTS.map(({ id, poolMode, maxConnections }) => ({
    id,
    port: cluster.port,
    database: id,
    username: 'postgres',
    password: PASSWORD,
    pool: { poolMode, maxConnections, minConnections: 0, idleTimeoutMs: 500 },
  }));
  return { cluster, proxy: await TestProxy.start({ tenants }) };
}

async function run({ cluster, proxy }: Rig, options: DrillOptions): Promise<DrillReport> {
  const { say = () => {} } = options;
  const tally = new Tally();
  const over = new AbortController();
  const lives = Array.from({ length: options.clients }, (_, number) =>
    live(lifeOf(number, { proxy, tally, options, over: over.signal })),
  );
  const recoveriesMs: number[] = [];
  const peak = watchConnections(cluster);
  try {
    await eventually('every client has come', () => tally.logins >= options.clients, {
      withinMs: 120_000,
    });
    for (const outage of options.outages) {
      await pause(options.workMs);
      say(`${tally.logins} logins, ${tally.answers} answers; now an outage: ${outage}`);
      await suffer(cluster, outage);
      recoveriesMs.push(await recovery(tally));
    }
    await pause(options.workMs);
  } finally {
    over.abort();
    await Promise.all(lives);
  }
  const peakServerConnections = await peak.stop();
  say('all clients have left');
  const leftMs = performance.now();
  await proxy.atRest(REST_WITHIN_MS);
  const atRestMs = performance.now() - leftMs;
  await eventually('the server connections are closed', async () => {
    return (await serverConnections(cluster)) === 0;
  });
  return { tally, recoveriesMs, atRestMs, peakServerConnections };
}

interface World {
  readonly proxy: TestProxy;
  readonly tally: Tally;
  readonly options: DrillOptions;
  readonly over: AbortSignal;
}

function lifeOf(number: number, { proxy, tally, options, over }: World) {
  const { id } = tenantOf(number);
  return {
    name: `c${number}`,
    tenant: id,
    address: proxy,
    login: { user: 'postgres', password: PASSWORD, database: id },
    tally,
    hangMs: HANG_MS,
    random: new SeededRandom(options.seed + number),
    arrivalMs: options.clients * ARRIVAL_MS,
    restMs: options.restMs,
    over,
  };
}

function tenantOf(number: number): DrillTenant {
  let place = number % 20;
  for (const tenant of TENANTS) {
    place -= tenant.share;
    if (place < 0) return tenant;
  }
  throw new Error('the shares are twenty');
}

async function suffer(cluster: PostgresCluster, outage: Outage): Promise<void> {
  if (outage !== 'kill') return cluster.restart(outage);
  await cluster.kill();
  await cluster.start();
}

/** From now until every tenant has answered somebody. */
async function recovery(tally: Tally): Promise<number> {
  const fromMs = performance.now();
  await eventually(
    'every tenant answers again',
    () => TENANTS.every(({ id }) => tally.lastAnswerMs(id) > fromMs),
    { withinMs: HANG_MS },
  );
  return performance.now() - fromMs;
}

async function serverConnections(cluster: PostgresCluster): Promise<number> {
  const [row] = await cluster.sql(
    'postgres',
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE 'dbb:%'`,
  );
  return Number(row?.['n']);
}

/** Counts on the server every quarter of a second. */
function watchConnections(cluster: PostgresCluster): { stop(): Promise<number> } {
  let peak = 0;
  const stopped = new AbortController();
  const watching = (async () => {
    while (!stopped.signal.aborted) {
      // While the server is away it counts nothing.
      peak = Math.max(peak, await serverConnections(cluster).catch(() => 0));
      await pause(250);
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await watching;
      return peak;
    },
  };
}

function assertHolds({ tally, peakServerConnections }: DrillReport): void {
  assert.deepEqual(tally.faults.slice(0, 10), [], `${tally.faults.length} faults`);
  const dishonest = [...tally.errors.keys()].filter((code) => !HONEST.has(code));
  assert.deepEqual(dishonest, [], 'errors that an outage does not explain');
  assert.deepEqual([...tally.untold], [], 'connections that ended without a word');
  assert.ok(peakServerConnections <= CONNECTIONS_MAX, `${peakServerConnections} at once`);
}

/** Every acknowledged COMMIT is there once, and nothing of a client that left before its own. */
async function assertCommitted(cluster: PostgresCluster, tally: Tally): Promise<void> {
  const rows = new Map<string, number>();
  for (const { id } of TENANTS) {
    for (const { row } of await cluster.sql(id, 'SELECT row FROM drill')) {
      rows.set(String(row), (rows.get(String(row)) ?? 0) + 1);
    }
  }
  assert.ok(tally.committed.length > 0, 'something was committed');
  const missing = tally.committed.filter((row) => rows.get(row) !== 1);
  assert.deepEqual(missing, [], 'rows that were committed are there once');
  const undead = [...rows.keys()].filter((row) => row.startsWith('lost'));
  assert.deepEqual(undead, [], 'rows of transactions that nobody committed');
}
