/**
 * One PostgreSQL server and one proxy for the suites of the compatibility matrix: each suite has a
 * database and a tenant of its own in each pool mode.
 * Owns: servers, tenants, the outcome of one case. Leaves: what a case does to suites/.
 */
import assert from 'node:assert/strict';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import { untilRunning } from '../data-plane/running-statements.ts';
import { eventually } from '../support/eventually.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { MODES } from './suite.ts';
import type { Place, Suite } from './suite.ts';

const USER = 'postgres';
const PASSWORD = 'driver secret';
/** Server connections of one place. */
const CONNECTIONS_MAX = 8;
const CLIENTS_MAX: Readonly<Record<PoolMode, number>> = {
  session: CONNECTIONS_MAX,
  transaction: 20,
};
/** Longer than any case takes, shorter than the patience of who waits for the file. */
const CASE_LIMIT_MS = 30_000;

export class Rig {
  readonly #cluster: PostgresCluster;
  readonly #proxy: TestProxy;

  private constructor(cluster: PostgresCluster, proxy: TestProxy) {
    this.#cluster = cluster;
    this.#proxy = proxy;
  }

  static async start(suites: readonly Suite[]): Promise<Rig> {
    const cluster = await startPostgresCluster({
      superuserPassword: PASSWORD,
      maxConnections: 300,
    });
    const places = suites.flatMap((suite) => MODES.map((mode) => ({ suite, mode })));
    for (const { suite, mode } of places) {
      await cluster.sql('postgres', `CREATE DATABASE ${databaseOf(suite, mode)}`);
    }
    const tenants = places.map(({ suite, mode }) => ({
      id: databaseOf(suite, mode),
      port: cluster.port,
      database: databaseOf(suite, mode),
      username: USER,
      password: PASSWORD,
      pool: { poolMode: mode, maxConnections: CONNECTIONS_MAX },
    }));
    return new Rig(cluster, await TestProxy.start({ tenants }));
  }

  place(suite: Suite, mode: PoolMode): Place {
    const { host, port } = this.#proxy;
    const database = databaseOf(suite, mode);
    const cluster = this.#cluster;
    const login = `${USER}:${encodeURIComponent(PASSWORD)}`;
    return {
      mode,
      host,
      port,
      user: USER,
      password: PASSWORD,
      database,
      url: `postgresql://${login}@${host}:${port}/${database}`,
      clientsMax: CLIENTS_MAX[mode],
      restartServer: async () => {
        await cluster.restart('fast');
        await untilServed({ host, port, user: USER, password: PASSWORD, database });
      },
      endConnections: async () => {
        const ended = await cluster.sql(
          'postgres',
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`,
        );
        assert.ok(ended.length > 0, 'there is a server connection to be ended');
      },
      sql: (text) => cluster.sql(database, text),
      untilRunning: (text) => untilRunning(cluster, text),
    };
  }

  /** Waits until nobody is connected and no lease is held. */
  async atRest(): Promise<void> {
    await this.#proxy.atRest();
  }

  async stop(): Promise<void> {
    await this.#proxy.stop();
    await this.#cluster.stop();
  }
}

/** For a moment after an outage logins are answered with the error of the last attempt to dial. */
function untilServed(options: ClientConfig): Promise<true> {
  return eventually('a login after the restart', async () => {
    const client = new Client(options);
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query('SELECT 1');
      return true;
    } catch {
      return false;
    } finally {
      await client.end();
    }
  });
}

function databaseOf(suite: Suite, mode: PoolMode): string {
  return `${suite.id}_${mode}`;
}

/**
 * Runs one case. @throws what the case throws; when it was expected to fail and passes, an error
 * that says so; after 30 s, an error.
 */
export async function runCase(suite: Suite, name: string, place: Place): Promise<void> {
  const reason = suite.expectedFailures?.[name]?.[place.mode];
  if (reason === undefined) return inTime(suite, name, place);
  const passes = await inTime(suite, name, place).then(
    () => true,
    () => false,
  );
  if (passes) throw new Error(`passes, though it is expected to fail: ${reason}`);
}

async function inTime(suite: Suite, name: string, place: Place): Promise<void> {
  const run = suite.cases[name];
  if (run === undefined) throw new Error(`${suite.name} has no case "${name}"`);
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    const error = new Error(`did not end within ${CASE_LIMIT_MS} ms`);
    timer = setTimeout(() => reject(error), CASE_LIMIT_MS);
  });
  try {
    await Promise.race([run(place), limit]);
  } finally {
    clearTimeout(timer);
  }
}
