/**
 * The fleet-wide budget with processes of their own: nats-server, a control plane, three proxies
 * and one PostgreSQL, whose own count of connections is sampled all the while.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { Client } from 'pg';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';
import { ApiClient } from './api-client.ts';
import { connect, disconnectAll } from './sql-clients.ts';

const MAX = 6;
const PASSWORD = 'budget secret';
const API_KEY = 'a-key-of-the-tests-0123456789';
const TENANT = 'shared';

let cluster: PostgresCluster;
let nats: NatsServer;
let controlPlane: DbbouncerProcess;
let proxies: readonly DbbouncerProcess[];
let api: ApiClient;
let watching: Watch | undefined;

tellLogsOfFailures();

before(async () => {
  [cluster, nats] = await Promise.all([
    startPostgresCluster({ superuserPassword: PASSWORD }),
    startNatsServer(),
  ]);
  await cluster.sql('postgres', `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
  await cluster.sql('postgres', 'CREATE DATABASE shop OWNER app');
  const start = (command: 'control-plane' | 'proxy') =>
    DbbouncerProcess.start({
      command,
      args: ['--nats', nats.url],
      env: {
        DBBOUNCER_MASTER_KEY: 'a master key for tests only',
        DBBOUNCER_API_KEY: API_KEY,
        DBBOUNCER_FLEET_BUDGET: 'fleet',
      },
    });
  [controlPlane, ...proxies] = await Promise.all([
    start('control-plane'),
    start('proxy'),
    start('proxy'),
    start('proxy'),
  ]);
  api = new ApiClient(controlPlane.apiUrl, API_KEY);
  const made = await api.call('POST', '/tenants', {
    id: TENANT,
    db_type: 'postgres',
    host: '127.0.0.1',
    port: cluster.port,
    dbname: 'shop',
    username: 'app',
    password: PASSWORD,
    pool_mode: 'transaction',
    max_connections: MAX,
    min_connections: 0,
    pipeline: 'off',
  });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  watching = await Watch.start(cluster);
  await eventually('all three have their part', async () => {
    const { body } = await api.call('GET', '/fleet/budget');
    const members = body['members'] as readonly { readonly divisor: number | null }[];
    return members.length === 3 && members.every(({ divisor }) => divisor === 3);
  });
});

after(async () => {
  await watching?.stop();
  await disconnectAll();
  await Promise.all(proxies.map((proxy) => proxy.kill()));
  await controlPlane.stop();
  await nats.stop();
  await cluster.remove();
});

describe('max_connections of 6 over three proxies', () => {
  it('goes where the load goes, outlives kill -9 and SIGSTOP, and is never passed', async () => {
    const [first, second, third] = proxies;
    assert.ok(first !== undefined && second !== undefined && third !== undefined);

    const watch = watching;
    assert.ok(watch !== undefined);
    let load = await Load.on(first);
    await eventually('4 of 6 are with the first', () => watch.connections >= 4);
    await load.stop();
    load = await Load.on(second);
    await eventually('4 of 6 are with the second', async () => (await limitOf(second)) >= 4);

    await second.kill();
    void load.stop();
    load = await Load.on(third);
    await eventually('what it left is with the third', async () => (await limitOf(third)) >= 3);

    process.kill(first.pid, 'SIGSTOP');
    await pause(500);
    assert.ok(load.answered > 0);
    process.kill(first.pid, 'SIGCONT');
    assert.equal(load.failures.join('\n'), '');
    await load.stop();
    assert.ok(watch.samples > 100, `${watch.samples} samples`);
    assert.ok(watch.most <= MAX, `${watch.most} connections, ${MAX} are allowed`);
  });
});

/** What the control plane says that a proxy may have: the one with the most of the load. */
async function limitOf(proxy: DbbouncerProcess): Promise<number> {
  const id = await idOf(proxy);
  const { body } = await api.call('GET', `/fleet/budget?tenant=${TENANT}`);
  const [tenant] = body['tenants'] as readonly {
    readonly proxies: readonly { readonly proxy: string; readonly limit: number }[];
  }[];
  return tenant?.proxies.find((one) => one.proxy === id)?.limit ?? 0;
}

const ids = new Map<DbbouncerProcess, string>();

async function idOf(proxy: DbbouncerProcess): Promise<string> {
  const known = ids.get(proxy);
  if (known !== undefined) return known;
  const id = /"proxy":"(p-[a-z2-7]+)"/.exec(proxy.log)?.[1] ?? '';
  if (id !== '') ids.set(proxy, id);
  return Promise.resolve(id);
}

/** Eight clients that never stop asking. */
class Load {
  readonly failures: string[] = [];
  answered = 0;
  #isOn = true;
  #loops: readonly Promise<void>[] = [];

  static async on(proxy: DbbouncerProcess): Promise<Load> {
    const load = new Load();
    const login = { port: proxy.postgresPort, tenant: TENANT, user: 'app', password: PASSWORD };
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect(login)));
    load.#loops = clients.map((client) => load.#ask(client));
    return load;
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await Promise.all(this.#loops);
  }

  async #ask(client: Client): Promise<void> {
    while (this.#isOn) {
      try {
        await client.query('SELECT pg_sleep(0.02)');
        this.answered += 1;
      } catch (error) {
        if (this.#isOn) this.failures.push((error as Error).message);
        return;
      }
    }
  }
}

/** Counts what the server counts, many times a second. */
class Watch {
  most = 0;
  samples = 0;
  connections = 0;
  #isOn = true;
  #loop: Promise<void> = Promise.resolve();

  static async start({ port }: PostgresCluster): Promise<Watch> {
    const watch = new Watch();
    const client = new Client({
      host: '127.0.0.1',
      port,
      user: 'postgres',
      password: PASSWORD,
      database: 'postgres',
    });
    await client.connect();
    watch.#loop = watch.#watch(client);
    return watch;
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await this.#loop;
  }

  async #watch(client: Client): Promise<void> {
    const count = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'app'";
    while (this.#isOn) {
      const { rows } = await client.query<{ n: number }>(count);
      this.connections = rows[0]?.n ?? 0;
      this.most = Math.max(this.most, this.connections);
      this.samples += 1;
      await pause(5);
    }
    await client.end();
  }
}
