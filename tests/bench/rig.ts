/**
 * What the comparison runs on: one PostgreSQL, PgBouncer at several pool sizes, DBBouncer with its
 * defaults. Everything on loopback, in a temporary folder, gone at the end.
 */
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { createScratchFolder } from '@dbbouncer/cli/demo/scratch-folder.ts';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Contender, Login } from './contender.ts';
import { startDbbouncer } from './dbbouncer.ts';
import { pgbouncerProgram, pgbouncerVersion, preparesInTransactionMode } from './pgbouncer.ts';
import { startPgbouncer } from './pgbouncer.ts';
import type { Programs } from '../support/programs.ts';

export interface Rig {
  readonly postgresVersion: string;
  readonly pgbouncerVersion: string;
  readonly ours: Contender;
  /** In transaction mode, one for each pool size. */
  readonly theirs: readonly Contender[];
  /** What takes the part of PgBouncer where statements are prepared. */
  readonly theirsPrepared: readonly Contender[];
  readonly direct: Contender;
  countConnections(user: string): Promise<number>;
  stop(): Promise<void>;
}

export interface RigOptions {
  readonly programs: Programs;
  readonly poolSizes: readonly number[];
}

const DATABASE = 'bench';
const PASSWORD = 'bench';
/** A hundred thousand accounts each: all of it stays in memory. */
const SCALE = 10;
const SERVER_CONNECTIONS_MAX = 300;
const CLIENTS_MAX = 20_000;
const SESSION_POOL_SIZE = 64;

export async function startRig({ programs, poolSizes }: RigOptions): Promise<Rig> {
  const cluster = await startPostgresCluster({
    superuserPassword: PASSWORD,
    maxConnections: SERVER_CONNECTIONS_MAX,
    settings: { shared_buffers: '256MB' },
  });
  const scratch = await createScratchFolder('everyone');
  await cluster.sql('postgres', `CREATE DATABASE ${DATABASE}`);
  await fill(programs, cluster);
  const parts: RigParts = { cluster, folder: scratch.path, running: [] };
  const [row] = await cluster.sql('postgres', 'SHOW server_version');
  return {
    postgresVersion: String(row?.['server_version']),
    ...(await startTheirs(parts, poolSizes)),
    ours: await startOurs(parts),
    direct: await directTo(cluster),
    countConnections: (user) => countConnections(cluster, user),
    stop: async () => {
      for (const each of parts.running.toReversed()) await each.stop();
      await cluster.remove();
      await scratch.remove();
    },
  };
}

interface RigParts {
  readonly cluster: PostgresCluster;
  readonly folder: string;
  readonly running: { stop(): Promise<void> }[];
}

async function startTheirs(
  parts: RigParts,
  poolSizes: readonly number[],
): Promise<Pick<Rig, 'pgbouncerVersion' | 'theirs' | 'theirsPrepared'>> {
  const program = pgbouncerProgram();
  const version = await pgbouncerVersion(program);
  const start = async (poolMode: 'transaction' | 'session', poolSize: number) => {
    const login = await newLogin(parts.cluster, `pgbouncer_${poolMode}_${poolSize}`);
    const made = await startPgbouncer({
      program,
      version,
      folder: parts.folder,
      serverPort: parts.cluster.port,
      login,
      poolMode,
      poolSize,
      clientsMax: CLIENTS_MAX,
    });
    parts.running.push(made);
    return made.contender;
  };
  const theirs: Contender[] = [];
  for (const size of poolSizes) theirs.push(await start('transaction', size));
  const theirsPrepared = preparesInTransactionMode(version)
    ? theirs
    : [await start('session', SESSION_POOL_SIZE)];
  return { pgbouncerVersion: version, theirs, theirsPrepared };
}

async function startOurs({ cluster, folder, running }: RigParts): Promise<Contender> {
  const login = await newLogin(cluster, 'dbbouncer');
  const made = await startDbbouncer({ folder, serverPort: cluster.port, login });
  running.push(made);
  return made.contender;
}

async function directTo(cluster: PostgresCluster): Promise<Contender> {
  const login = await newLogin(cluster, 'direct');
  const { host, port } = cluster;
  return { name: 'direct', side: 'direct', host, port, pid: undefined, login };
}

async function fill({ pgbench }: Programs, cluster: PostgresCluster): Promise<void> {
  const where = ['-h', cluster.host, '-p', String(cluster.port), '-U', cluster.superuser, DATABASE];
  const env = { PATH: process.env['PATH'], PGPASSWORD: cluster.password };
  await promisify(execFile)(pgbench, ['-i', '-q', '-s', String(SCALE), ...where], { env });
  await cluster.sql(DATABASE, 'GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC');
}

async function newLogin(cluster: PostgresCluster, user: string): Promise<Login> {
  await cluster.sql('postgres', `CREATE ROLE ${user} LOGIN PASSWORD '${PASSWORD}'`);
  return { user, password: PASSWORD, database: DATABASE };
}

async function countConnections(cluster: PostgresCluster, user: string): Promise<number> {
  const sql = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = '${user}'`;
  const [row] = await cluster.sql('postgres', sql);
  return Number(row?.['n']);
}
