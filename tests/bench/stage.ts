/**
 * What rows are measured on: contenders before one PostgreSQL, and who counts at that server.
 * Everything on loopback, in a temporary folder, gone at the end.
 */
import { Client } from 'pg';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { createScratchFolder } from '@dbbouncer/cli/demo/scratch-folder.ts';
import type { ConnectionsInUse } from './comparison.ts';
import type { Contender, Login } from './contender.ts';
import { usersOf } from './contender.ts';
import { pgbouncerProgram, pgbouncerVersion } from './pgbouncer.ts';
import { writeTlsFiles } from './tls-files.ts';
import type { TlsFiles } from './tls-files.ts';

export interface Stage {
  readonly postgresVersion: string;
  readonly pgbouncerVersion: string;
  readonly ours: Contender;
  /** The same from another checkout, or with other settings. */
  readonly variants: readonly Contender[];
  /** In transaction mode, one for each pool size. */
  readonly theirs: readonly Contender[];
  /** Who takes the part of PgBouncer where statements are prepared. */
  readonly theirsPrepared: readonly Contender[];
  readonly direct: Contender;
  readonly connectionsInUse: ConnectionsInUse;
  stop(): Promise<void>;
}

/** What is being built up, and taken down in the opposite order. */
export interface Scene {
  readonly cluster: PostgresCluster;
  readonly folder: string;
  readonly tls: TlsFiles;
  readonly pgbouncer: { readonly program: string; readonly version: string };
  readonly connectionsInUse: ConnectionsInUse;
  /** Notes who is to be stopped. */
  started<Running extends { stop(): Promise<void> }>(running: Running): Running;
  stop(): Promise<void>;
}

export const PASSWORD = 'bench';
export const CLIENTS_MAX = 20_000;

/** Takes the cluster over: `stop` removes it. */
export async function openScene(cluster: PostgresCluster): Promise<Scene> {
  const scratch = await createScratchFolder('everyone');
  const program = pgbouncerProgram();
  const counter = await connectionCounter(cluster);
  const running: { stop(): Promise<void> }[] = [];
  return {
    cluster,
    folder: scratch.path,
    tls: await writeTlsFiles(scratch.path),
    pgbouncer: { program, version: await pgbouncerVersion(program) },
    connectionsInUse: counter.count,
    started: (each) => {
      running.push(each);
      return each;
    },
    stop: async () => {
      for (const each of running.toReversed()) await each.stop();
      await counter.end();
      await cluster.remove();
      await scratch.remove();
    },
  };
}

export async function newLogin(cluster: PostgresCluster, login: Login): Promise<Login> {
  await cluster.sql('postgres', `CREATE ROLE ${login.user} LOGIN PASSWORD '${login.password}'`);
  return login;
}

export async function versionOf(cluster: PostgresCluster): Promise<string> {
  const [row] = await cluster.sql('postgres', 'SHOW server_version');
  return String(row?.['server_version']);
}

export function directTo({ host, port }: PostgresCluster, logins: readonly Login[]): Contender {
  const [login] = logins;
  if (login === undefined) throw new Error('a contender needs a login');
  return { name: 'direct', side: 'direct', host, port, pid: undefined, login, logins };
}

const IN_USE = `SELECT count(*)::int AS n FROM pg_stat_activity
  WHERE usename = ANY($1)
    AND (state <> 'idle' OR state_change >= $2 OR backend_start >= $2)`;

/** Asks on one connection that stays, so that counting is hardly seen. */
async function connectionCounter(
  cluster: PostgresCluster,
): Promise<{ readonly count: ConnectionsInUse; end(): Promise<void> }> {
  const { host, port, superuser: user, password } = cluster;
  const client = new Client({ host, port, user, password, database: 'postgres' });
  client.on('error', () => {});
  await client.connect();
  return {
    count: async (contender, since) => {
      const { rows } = await client.query<{ n: number }>(IN_USE, [usersOf(contender), since]);
      return rows[0]?.n ?? NaN;
    },
    end: () => client.end(),
  };
}
