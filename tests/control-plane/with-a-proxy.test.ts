/**
 * A control plane and a proxy on one bus, with a real server: what a rehearsal tells of pools and
 * servers is what then happens.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { startProxy } from '@dbbouncer/data-plane/app.ts';
import type { RunningProxy } from '@dbbouncer/data-plane/app.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import { eventually } from '../support/eventually.ts';
import { firstColumns, query, RawClient } from '../support/raw-client.ts';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';

type Fields = Readonly<Record<string, unknown>>;

const HOST = '127.0.0.1';
const PASSWORD = 'planted secret';
const MASTER_KEY = 'a master key for both planes';
let folder: string;
let cluster: PostgresCluster;
let proxy: RunningProxy;
let plane: TestControlPlane;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dbb-with-a-proxy-'));
  [cluster, plane] = await Promise.all([
    startPostgresCluster({ superuserPassword: PASSWORD }),
    TestControlPlane.start({ DBBOUNCER_MASTER_KEY: MASTER_KEY }),
  ]);
  const { settings } = resolveSettings({
    flags: { dataDir: folder, host: HOST, postgresPort: '0', metricsPort: '0' },
    env: { DBBOUNCER_MASTER_KEY: MASTER_KEY },
    cwd: folder,
  });
  const tools = { clock: systemClock, log: silentLogger, readEnv: () => undefined };
  const own = { bus: plane.bus, busReach: 'private' as const };
  const proxyOptions = { ...own, ...tools, reportIntervalMs: 100, version: 'test' };
  proxy = await startProxy(settings, proxyOptions);
  await eventually('it reports', async () => {
    const { json } = await plane.call('GET', '/fleet');
    return (json['proxies'] as readonly Fields[]).length === 1;
  });
});
after(async () => {
  await proxy.stop();
  await plane[Symbol.asyncDispose]();
  await cluster.stop();
  await rm(folder, { recursive: true });
});

const body = (id: string, fields: Fields = {}) =>
  tenantBody(id, {
    host: HOST,
    port: cluster.port,
    dbname: 'postgres',
    username: 'postgres',
    password: PASSWORD,
    ...fields,
  });

describe('a probe', () => {
  it('is let in with the sealed password of a tenant to come, and not with another', async () => {
    const registered = await plane.call('POST', '/tenants?probe=true', { body: body('probed') });
    assert.equal(registered.status, 201, registered.text);
    const path = '/tenants/probed?probe=true';
    const refused = await plane.change('PATCH', path, { body: { password: 'another' } });
    const problem = assertProblem(refused, 424, 'PROBE_FAILED');
    assert.match(
      String(problem['detail']),
      /failed at auth: password authentication failed for user "postgres"/,
    );
  });
});

describe('a server', () => {
  it('is known by what the proxy has heard of it, and told of in rehearsals', async () => {
    const client = await loggedIn('probed__postgres', 'postgres');
    client?.send(query('SELECT 1'));
    await client?.until('Z');
    client?.end();
    await eventually('the proxy has reported what the server lets in', async () => {
      const { json } = await plane.change('PATCH', '/tenants/probed?dry_run=true', {
        body: { max_connections: 98 },
      });
      const [server] = json['servers'] as readonly Fields[];
      return server?.['max_connections'] === 100 && /server_over/.test(JSON.stringify(json));
    });
  });
});

/** A client of the proxy; nothing when it is not let in. */
async function loggedIn(user: string, database: string): Promise<RawClient | undefined> {
  const address = { host: HOST, port: proxy.postgresPort };
  return RawClient.login(address, { user, password: PASSWORD, database }).catch(() => undefined);
}

/** Which server process answers; nothing when the client is not let in. */
async function serverOf(user: string, database: string): Promise<string | undefined> {
  const client = await loggedIn(user, database);
  client?.send(query('SELECT pg_backend_pid()'));
  const pid = client && firstColumns(await client.until('Z'))[0];
  client?.end();
  return pid;
}

const OPEN_CONNECTIONS = `SELECT count(*) FROM pg_stat_activity
  WHERE application_name LIKE 'dbb:%' AND state = 'idle'`;
const POOLS = ['postgres/postgres', 'postgres/audit', 'report/postgres'] as const;
const ALL = (effect: string) => POOLS.map((pool) => `${pool} ${effect}`);

describe('the pools of a rehearsal', () => {
  before(async () => {
    const address = { host: HOST, port: cluster.port };
    const login = { user: 'postgres', password: PASSWORD, database: 'postgres' };
    direct = await RawClient.login(address, login);
    await ask('CREATE DATABASE audit');
    await ask(`CREATE ROLE report LOGIN PASSWORD '${PASSWORD}'`);
  });
  after(() => direct.end());

  let direct: RawClient;
  const ask = async (sql: string): Promise<readonly string[]> => {
    direct.send(query(sql));
    return firstColumns(await direct.until('Z'));
  };

  let count = 0;
  const fates: Readonly<Record<string, readonly [Fields | 'reconnect', readonly string[]]>> = {
    'another limit': [{ max_connections: 7 }, ALL('kept')],
    'the same password': [{ password: PASSWORD, idle_timeout: '9m' }, ALL('kept')],
    'another host': [{ host: 'localhost' }, ALL('replaced')],
    'other init_sql': [{ init_sql: 'SET work_mem TO 4096' }, ALL('replaced')],
    'a reconnect': ['reconnect', ALL('replaced')],
    'a database less': [
      { databases: [] },
      ['postgres/postgres kept', 'postgres/audit drained', 'report/postgres kept'],
    ],
    'a user less': [
      { users: [] },
      ['postgres/postgres kept', 'postgres/audit kept', 'report/postgres drained'],
    ],
  };
  for (const [change, [fields, expected]] of Object.entries(fates)) {
    it(`have the fate that is told of them: ${change}`, async () => {
      const id = `t${++count}`;
      const users = [{ name: 'report', password: PASSWORD }];
      const settings = { pool_mode: 'transaction', pipeline: 'off', min_connections: 0 };
      const tenant = body(id, { databases: ['audit'], users, ...settings });
      const { status, text } = await plane.call('POST', '/tenants?wait=applied', { body: tenant });
      assert.equal(status, 201, text);
      const servers = () =>
        Promise.all(
          POOLS.map((pool) => {
            const [user, database = ''] = pool.split('/');
            return serverOf(`${id}__${user}`, database);
          }),
        );
      assert.equal(new Set(await servers()).size, 3);
      await eventually('they rest, and are reported', async () => {
        const { json } = await plane.call('GET', `/tenants/${id}/stats`);
        const pools = json['pools'] as readonly Fields[];
        const [open] = await ask(OPEN_CONNECTIONS);
        const { json: fleet } = await plane.call('GET', '/fleet');
        const [told] = fleet['proxies'] as readonly { connections: { total: number } }[];
        const areAtRest = pools.every(({ idle, total }) => idle === total);
        return pools.length === 3 && areAtRest && Number(open) === told?.connections.total;
      });
      const write = (query: string) =>
        fields === 'reconnect'
          ? plane.call('POST', `/tenants/${id}/reconnect?${query}`)
          : plane.change('PATCH', `/tenants/${id}?${query}`, { body: fields });
      const { json } = await write('dry_run=true');
      const { pools } = json['touches'] as { readonly pools: readonly Fields[] };
      const told = pools.map(
        (one) => `${String(one['user'])}/${String(one['database'])} ${String(one['effect'])}`,
      );
      assert.deepEqual(told.sort(), expected.toSorted());
      const known = new Set(await ask('SELECT pid FROM pg_stat_activity'));
      const done = await write('wait=applied');
      assert.equal(done.status, 200, done.text);
      const seen = (await servers()).map((pid, index) => {
        const fate = pid === undefined ? 'drained' : known.has(pid) ? 'kept' : 'replaced';
        return `${String(POOLS[index])} ${fate}`;
      });
      assert.deepEqual(seen, expected);
    });
  }
});
