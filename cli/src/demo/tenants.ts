/**
 * The two tenants of the demo: their databases, made and filled directly on the PostgreSQL server,
 * and their registration, made the way everybody makes one: through the REST API.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Client } from 'pg';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { PostgresCluster } from './postgres-cluster.ts';

export interface DemoTenant {
  readonly id: string;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** What its shop sells, so that its rows are told from the other's at a glance. */
  readonly article: string;
  readonly orders: number;
}

/** Server connections that all clients of a tenant share. */
export const MAX_CONNECTIONS = 3;

const SERVED_WITHIN_MS = 10_000;
const RETRY_MS = 50;

export function demoTenants(): readonly DemoTenant[] {
  return [tenant('acme', 'anvil', 1_200), tenant('globex', 'doomsday device', 300)];
}

function tenant(id: string, article: string, orders: number): DemoTenant {
  const password = randomBytes(9).toString('base64url');
  return Object.freeze({
    id,
    database: `${id}_shop`,
    user: `${id}_app`,
    password,
    article,
    orders,
  });
}

/** Makes the user and the database with its table `orders` and its view `whoami`. */
export async function createDatabase(cluster: PostgresCluster, tenant: DemoTenant): Promise<void> {
  const { id, database, user, password, article, orders } = tenant;
  await cluster.sql('postgres', `CREATE ROLE ${user} LOGIN PASSWORD '${password}'`);
  await cluster.sql('postgres', `CREATE DATABASE ${database} OWNER ${user}`);
  await cluster.sql(
    database,
    `SET ROLE ${user};
     CREATE TABLE orders (id int PRIMARY KEY, article text NOT NULL, pieces int NOT NULL);
     INSERT INTO orders SELECT n, '${article} no. ' || n, 1 + n % 7
       FROM generate_series(1, ${orders}) AS n;
     CREATE VIEW whoami AS SELECT '${id}' AS tenant, current_database() AS database,
       (SELECT count(*) FROM orders) AS orders, (SELECT article FROM orders WHERE id = 1) AS first,
       pg_backend_pid() AS server_connection;`,
  );
}

export interface Api {
  readonly apiUrl: string;
  readonly apiKeyFile: string;
}

/** @throws Error with the API's own words when it refuses. */
export async function registerTenant(
  api: Api,
  tenant: DemoTenant,
  cluster: PostgresCluster,
): Promise<void> {
  const key = (await readFile(api.apiKeyFile, 'utf8')).trim();
  const response = await fetch(`${api.apiUrl}/tenants`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      id: tenant.id,
      db_type: 'postgres',
      host: cluster.host,
      port: cluster.port,
      dbname: tenant.database,
      username: tenant.user,
      password: tenant.password,
      pool_mode: 'transaction',
      min_connections: 1,
      max_connections: MAX_CONNECTIONS,
    }),
  });
  if (response.ok) return;
  throw new Error(`POST /tenants answered ${response.status}: ${await response.text()}`);
}

/** Where the proxy takes clients. */
export interface ProxyAddress {
  readonly host: string;
  readonly port: number;
}

/** The words after `psql`: a connection string that names the tenant. */
export function conninfo({ host, port }: ProxyAddress, tenant: DemoTenant): string {
  const { id, database, user, password } = tenant;
  const login = `user=${user} password=${password} dbname=${database}`;
  return `host=${host} port=${port} ${login} options='-c tenant_id=${id}'`;
}

/** A client of the tenant, not connected yet. */
export function clientOf({ host, port }: ProxyAddress, tenant: DemoTenant): Client {
  const { id, database, user, password } = tenant;
  const client = new Client({
    host,
    port,
    user,
    password,
    database,
    options: `-c tenant_id=${id}`,
  });
  // The query under way fails too, and tells.
  client.on('error', () => {});
  return client;
}

/** Resolves once the proxy has heard of the tenant and reaches its database. */
export async function untilServed(
  address: ProxyAddress,
  tenant: DemoTenant,
  clock: Clock,
): Promise<void> {
  const deadlineMs = clock.nowMs() + SERVED_WITHIN_MS;
  for (;;) {
    const failure = await tryQuery(clientOf(address, tenant));
    if (failure === undefined) return;
    if (clock.nowMs() > deadlineMs) {
      throw new Error(`tenant ${tenant.id} is not served: ${failure.message}`, { cause: failure });
    }
    await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve));
  }
}

async function tryQuery(client: Client): Promise<Error | undefined> {
  try {
    await client.connect();
    await client.query('SELECT FROM whoami');
    return undefined;
  } catch (error) {
    return error as Error;
  } finally {
    await client.end().catch(() => {});
  }
}
