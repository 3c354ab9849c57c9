/**
 * The stage of many tenants: fifty databases with a user each on a PostgreSQL that takes a hundred
 * connections, as it does by default. Each contender has such a server for itself: what one has
 * opened must not be in another's way.
 */
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { Contender, Login } from './contender.ts';
import { startDbbouncer } from './dbbouncer.ts';
import { startPgbouncer } from './pgbouncer.ts';
import { CLIENTS_MAX, directTo, newLogin, openScene, PASSWORD, versionOf } from './stage.ts';
import type { Scene, Stage } from './stage.ts';

export const TENANTS = 50;
export const SERVER_CONNECTIONS_MAX = 100;
/** Of each tenant: all of them together leave the server room. */
const CONNECTIONS_EACH = 1;

type Logins = readonly [Login, ...Login[]];

export async function startTenantsRig(): Promise<Stage> {
  const logins = [...Array(TENANTS).keys()].map(loginOf) as [Login, ...Login[]];
  const scenes = {
    ours: await open(logins),
    theirs: await open(logins),
    direct: await open(logins),
  };
  return {
    postgresVersion: await versionOf(scenes.ours.cluster),
    pgbouncerVersion: scenes.theirs.pgbouncer.version,
    ours: await startOurs(scenes.ours, logins),
    variants: [],
    theirs: [await startTheirs(scenes.theirs, logins)],
    theirsPrepared: [],
    direct: directTo(scenes.direct.cluster, logins),
    connectionsInUse: (contender, since) =>
      scenes[contender.side === 'variant' ? 'ours' : contender.side].connectionsInUse(
        contender,
        since,
      ),
    stop: async () => {
      for (const scene of Object.values(scenes)) await scene.stop();
    },
  };
}

async function open(logins: Logins): Promise<Scene> {
  const cluster = await startPostgresCluster({
    superuserPassword: PASSWORD,
    maxConnections: SERVER_CONNECTIONS_MAX,
    // A crowd comes from several addresses.
    hba: ['host all all 127.0.0.0/8 scram-sha-256'],
  });
  for (const login of logins) {
    await newLogin(cluster, login);
    await cluster.sql('postgres', `CREATE DATABASE ${login.database} OWNER ${login.user}`);
  }
  return openScene(cluster);
}

async function startOurs(scene: Scene, logins: Logins): Promise<Contender> {
  const { cluster, folder, tls } = scene;
  const settings = [`max_connections: ${CONNECTIONS_EACH}`];
  const options = { folder, tls, serverPort: cluster.port, logins, settings };
  return scene.started(await startDbbouncer(options)).contender;
}

async function startTheirs(scene: Scene, logins: Logins): Promise<Contender> {
  const { cluster, folder, tls, pgbouncer } = scene;
  const size = { poolMode: 'transaction', poolSize: CONNECTIONS_EACH } as const;
  const where = { folder, tls, serverPort: cluster.port, clientsMax: CLIENTS_MAX };
  return scene.started(await startPgbouncer({ ...pgbouncer, ...where, ...size, logins })).contender;
}

/** @param tenant from 0 */
function loginOf(tenant: number): Login {
  const name = `t${String(tenant + 1).padStart(2, '0')}`;
  return { user: name, password: PASSWORD, database: name };
}
