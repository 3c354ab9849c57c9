/**
 * The common stage: one PostgreSQL with pgbench's tables, PgBouncer at several pool sizes,
 * DBBouncer with its defaults.
 */
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { execFile } from 'node:child_process';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import type { Contender, Login } from './contender.ts';
import { startDbbouncer } from './dbbouncer.ts';
import type { DbbouncerOptions } from './dbbouncer.ts';
import { startBareRelay } from './floor/bare-relay.ts';
import { preparesInTransactionMode, startPgbouncer } from './pgbouncer.ts';
import type { Programs } from '../support/programs.ts';
import { CLIENTS_MAX, directTo, newLogin, openScene, PASSWORD, versionOf } from './stage.ts';
import type { Scene, Stage } from './stage.ts';

export interface RigOptions {
  readonly programs: Programs;
  readonly poolSizes: readonly number[];
  readonly scale: number;
  /** Who takes part besides: ours from another checkout, or with another setting of its tenant. */
  readonly variants: readonly Variant[];
}

export const DATABASE = 'bench';
/** `bare_relay`: no pooler, but what one costs at least. */
export type Variant = { readonly checkout: string } | { readonly setting: string } | 'bare_relay';

/** Of pgbench's tables, a hundred thousand accounts each: all of it stays in memory. */
export const SCALE = 10;
const SERVER_CONNECTIONS_MAX = 300;
const SESSION_POOL_SIZE = 64;

export async function startRig(options: RigOptions): Promise<Stage> {
  const { programs, poolSizes, variants, scale } = options;
  const scene = await startServer(programs, scale);
  const { cluster } = scene;
  return {
    postgresVersion: await versionOf(cluster),
    pgbouncerVersion: scene.pgbouncer.version,
    ...(await startTheirs(scene, poolSizes)),
    ours: await startOurs(scene),
    variants: await startVariants(scene, variants),
    direct: directTo(cluster, [await newUser(cluster, 'direct')]),
    connectionsInUse: scene.connectionsInUse,
    stop: () => scene.stop(),
  };
}

/** The server with its tables, and nobody before it yet. */
export async function startServer(programs: Programs, scale = SCALE): Promise<Scene> {
  const cluster = await startPostgresCluster({
    superuserPassword: PASSWORD,
    maxConnections: SERVER_CONNECTIONS_MAX,
    // One process for each query: what they take is theirs alone.
    settings: { shared_buffers: '256MB', max_parallel_workers_per_gather: 0 },
  });
  await cluster.sql('postgres', `CREATE DATABASE ${DATABASE}`);
  await fill(programs, cluster, scale);
  return openScene(cluster);
}

async function startTheirs(
  scene: Scene,
  poolSizes: readonly number[],
): Promise<Pick<Stage, 'theirs' | 'theirsPrepared'>> {
  const { cluster, folder, tls, pgbouncer } = scene;
  const start = async (poolMode: 'transaction' | 'session', poolSize: number) => {
    const logins = [await newUser(cluster, `pgbouncer_${poolMode}_${poolSize}`)] as const;
    const common = { ...pgbouncer, folder, tls, serverPort: cluster.port, clientsMax: CLIENTS_MAX };
    const options = { ...common, logins: [...logins] as [Login], poolMode, poolSize };
    return scene.started(await startPgbouncer(options)).contender;
  };
  const theirs: Contender[] = [];
  for (const size of poolSizes) theirs.push(await start('transaction', size));
  if (preparesInTransactionMode(pgbouncer.version)) return { theirs, theirsPrepared: theirs };
  const session = await start('session', SESSION_POOL_SIZE);
  const simple = theirs.map((each) => ({
    ...each,
    name: `${each.name}, simple protocol`,
    protocol: 'simple' as const,
  }));
  return { theirs, theirsPrepared: [session, ...simple] };
}

type Way = Pick<DbbouncerOptions, 'checkout' | 'settings' | 'name'>;

async function startOurs(scene: Scene, user = 'dbbouncer', way: Way = {}): Promise<Contender> {
  const { cluster, folder, tls } = scene;
  const logins: [Login] = [await newUser(cluster, user)];
  const options = { folder, tls, serverPort: cluster.port, logins, ...way };
  return scene.started(await startDbbouncer(options)).contender;
}

async function startVariants(scene: Scene, variants: readonly Variant[]): Promise<Contender[]> {
  const contenders: Contender[] = [];
  for (const [index, variant] of variants.entries()) {
    if (variant === 'bare_relay') {
      const login = await newUser(scene.cluster, 'bare_relay');
      contenders.push(scene.started(await startBareRelay(scene.cluster.port, login)).contender);
      continue;
    }
    const way =
      'checkout' in variant
        ? { ...variant, name: `DBBouncer of ${basename(variant.checkout)}` }
        : { settings: [variant.setting], name: `DBBouncer with ${variant.setting}` };
    contenders.push(await startOurs(scene, `dbbouncer_${index + 1}`, way));
  }
  return contenders;
}

/** Rows of 100 kB as they are, neither compressed nor small enough to stay in the table. */
const LARGE = `
  CREATE TABLE bench_large (id int PRIMARY KEY, body text);
  ALTER TABLE bench_large ALTER body SET STORAGE EXTERNAL;
  INSERT INTO bench_large SELECT id, repeat('0123456789', 10000) FROM generate_series(1, 100) id;
  VACUUM ANALYZE bench_large`;

async function fill({ pgbench }: Programs, cluster: PostgresCluster, scale: number): Promise<void> {
  const where = ['-h', cluster.host, '-p', String(cluster.port), '-U', cluster.superuser, DATABASE];
  const env = { PATH: process.env['PATH'], PGPASSWORD: cluster.password };
  await promisify(execFile)(pgbench, ['-i', '-q', '-s', String(scale), ...where], { env });
  for (const statement of LARGE.split(';')) await cluster.sql(DATABASE, statement);
  await cluster.sql(DATABASE, 'GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC');
}

function newUser(cluster: PostgresCluster, user: string): Promise<Login> {
  return newLogin(cluster, { user, password: PASSWORD, database: DATABASE });
}
