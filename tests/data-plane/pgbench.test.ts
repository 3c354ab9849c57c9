/**
 * pgbench with 64 clients through the proxy, in every protocol it speaks and both pool modes: no
 * error, and nothing kept once it is gone (invariant 2).
 * 20 transactions of each client; 30 s with DBBOUNCER_LONG_TESTS=1, which needs `node --test` of
 * this file alone.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { PoolReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { eventually } from '../support/eventually.ts';
import { findPrograms } from '../support/programs.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const USER = 'bench';
const PASSWORD = 'bench secret';
const CLIENTS = 64;
const SCALE = 10;
const MIN_CONNECTIONS = 2;
/** How long each client goes on: so many transactions, or so many seconds. */
const EXTENT = process.env['DBBOUNCER_LONG_TESTS'] === '1' ? ['-T', '30'] : ['-t', '20'];

type Protocol = 'simple' | 'extended' | 'prepared';

interface Case {
  readonly poolMode: PoolMode;
  readonly protocol: Protocol;
  /** As many as clients where a session holds its backend, be it for a prepared statement. */
  readonly maxConnections: number;
}

const CASES: readonly Case[] = [
  { poolMode: 'session', protocol: 'simple', maxConnections: CLIENTS },
  { poolMode: 'session', protocol: 'extended', maxConnections: CLIENTS },
  { poolMode: 'session', protocol: 'prepared', maxConnections: CLIENTS },
  { poolMode: 'transaction', protocol: 'simple', maxConnections: 8 },
  { poolMode: 'transaction', protocol: 'extended', maxConnections: 8 },
  { poolMode: 'transaction', protocol: 'prepared', maxConnections: CLIENTS },
];

const WORKLOADS = [
  { name: '-S', args: ['-S'] },
  { name: 'TPC-B', args: [] },
] as const;

let program: string;
let cluster: PostgresCluster;
let proxy: TestProxy;

const tenantOf = ({ poolMode, maxConnections }: Case) => `bench_${poolMode}_${maxConnections}`;

before(async () => {
  program = (await findPrograms()).pgbench;
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD, maxConnections: 150 });
  await cluster.sql('postgres', `CREATE ROLE ${USER} LOGIN PASSWORD '${PASSWORD}'`);
  await cluster.sql('postgres', `CREATE DATABASE bench OWNER ${USER}`);
  await pgbench(['-i', '-q', '-s', String(SCALE)], { port: cluster.port });
  const tenants = new Map(CASES.map((one) => [tenantOf(one), tenant(one)]));
  proxy = await TestProxy.start({ tenants: [...tenants.values()] });
});
after(async () => {
  await proxy.stop();
  await cluster.remove();
});

function tenant(one: Case): TestTenant {
  const { poolMode, maxConnections } = one;
  const minConnections = MIN_CONNECTIONS;
  return {
    id: tenantOf(one),
    port: cluster.port,
    database: 'bench',
    username: USER,
    password: PASSWORD,
    // Not each connection is looked at, so that clients follow each other as they do in production.
    pool: { poolMode, maxConnections, minConnections, idleTimeoutMs: 200, leakDetector: 'sample' },
  };
}

interface Target {
  readonly port: number;
  readonly tenant?: string;
}

interface Result {
  readonly transactions: number;
  readonly failed: number;
  readonly tps: number;
  readonly stderr: string;
}

/** Runs to its end. @throws Error with its words when it does not end with 0. */
async function pgbench(args: readonly string[], { port, tenant }: Target): Promise<Result> {
  const where = ['-h', '127.0.0.1', '-p', String(port), '-U', USER];
  const env = {
    PATH: process.env['PATH'],
    LC_ALL: 'C',
    PGPASSWORD: PASSWORD,
    ...(tenant !== undefined && { PGOPTIONS: `-c tenant_id=${tenant}` }),
  };
  const run = promisify(execFile)(program, [...args, ...where, 'bench'], { env });
  const { stdout, stderr } = await run;
  const number = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1]);
  return {
    transactions: number(/^number of transactions actually processed: (\d+)/m),
    failed: number(/^number of failed transactions: (\d+)/m),
    tps: number(/^tps = ([\d.]+)/m),
    stderr,
  };
}

/** Server connections of the proxy, as the server counts them. */
async function serverConnections(): Promise<number> {
  const [row] = await cluster.sql(
    'postgres',
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE 'dbb:%'`,
  );
  return Number(row?.['n']);
}

for (const one of CASES) {
  const { poolMode, protocol, maxConnections } = one;
  describe(`pgbench -M ${protocol}, ${poolMode} mode, max_connections ${maxConnections}`, () => {
    for (const { name, args } of WORKLOADS) {
      it(`${name}: ${CLIENTS} clients see no error and leave nothing`, async (test) => {
        const load = ['-n', '-M', protocol, '-c', String(CLIENTS), '-j', '2', ...EXTENT];
        const target = { port: proxy.port, tenant: tenantOf(one) };
        const { transactions, failed, tps, stderr } = await pgbench([...load, ...args], target);
        test.diagnostic(`${Math.round(tps)} tps, ${transactions} transactions`);
        assert.doesNotMatch(stderr, /error|abort|fail/i);
        assert.equal(failed, 0);
        assert.ok(transactions >= CLIENTS, `${transactions} transactions`);
        await fallsToMinimum(tenantOf(one));
      });
    }
  });
}

/** No lease is left, and the pool has the server connections it keeps; so says the server. */
async function fallsToMinimum(id: string): Promise<void> {
  const isAtRest = ({ active, waiting, total }: PoolReport) =>
    active + waiting === 0 && total <= MIN_CONNECTIONS;
  const report = await proxy.report(({ clients, pools }) => clients === 0 && pools.every(isAtRest));
  assert.equal(report.pools.find((pool) => pool.tenant === id)?.total, MIN_CONNECTIONS);
  const kept = report.pools.reduce((sum, { total }) => sum + total, 0);
  await eventually('the server counts the same', async () => (await serverConnections()) === kept);
}
