/**
 * `dbbouncer up` with a config file, as on one machine: both planes in one process, the file as it
 * stands in the README, edited while it runs, and everything still there after a restart.
 */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import { shell } from '../support/processes.ts';
import { ApiClient } from './api-client.ts';
import type { ApiAnswer } from './api-client.ts';
import { ask, begin, connect, disconnectAll, value } from './sql-clients.ts';
import type { Login } from './sql-clients.ts';

const PASSWORD = 'from the environment';
const FILE = 'dbbouncer.yaml';

let cluster: PostgresCluster;
let up: DbbouncerProcess;
let api: ApiClient;

tellLogsOfFailures();

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', `CREATE ROLE app_user LOGIN PASSWORD '${PASSWORD}'`);
  for (const name of ['tenant_1_db', 'tenant_2_db', 'tenant_3_db']) {
    await cluster.sql('postgres', `CREATE DATABASE ${name} OWNER app_user`);
  }
  up = await DbbouncerProcess.start({
    command: 'up',
    env: { TENANT_PG_PASSWORD: PASSWORD },
    prepare: (folder) => writeFile(join(folder, FILE), configFile()),
  });
  api = new ApiClient(up.apiUrl, keyInFile());
});
afterEach(async () => {
  await disconnectAll();
  // Each test begins with the same file, whatever the one before it wrote.
  await rewrite(configFile());
  await eventually('the first file holds again', async () => {
    const { max_connections } = await effective('tenant_1');
    return max_connections === 1 && !(await listed()).includes('tenant_3');
  });
});
after(async () => {
  await up.stop();
  await cluster.remove();
});

/** In the form of the README; the ports in it give way to those of the command line. */
function configFile(more = ''): string {
  return `
listen:
  postgres_port: 6432
  mysql_port: 3307
  api_port: 8080

defaults:
  min_connections: 0
  max_connections: 20
  idle_timeout: 5m
  max_lifetime: 30m
  acquire_timeout: 1s
  pool_mode: session         # "session" (default) or "transaction"

tenants:
  tenant_1:
    db_type: postgres
    host: 127.0.0.1
    port: ${cluster.port}
    dbname: tenant_1_db
    username: app_user
    password: \${TENANT_PG_PASSWORD}
    max_connections: 1
${entry('tenant_2', 'pool_mode: transaction')}
${more}`;
}

function entry(id: string, line: string): string {
  return `  ${id}:
    db_type: postgres
    host: 127.0.0.1
    port: ${cluster.port}
    dbname: ${id}_db
    username: app_user
    password: \${TENANT_PG_PASSWORD}
    max_connections: 1
    ${line}`;
}

const rewrite = (text: string) => writeFile(join(up.folder, FILE), text);
const keyInFile = () => readFileSync(join(up.dataDir, 'api.key'), 'utf8').trim();

function loginOf(tenant: string): Login {
  return { port: up.postgresPort, tenant, user: 'app_user', password: PASSWORD };
}

async function listed(): Promise<string[]> {
  const { tenants } = (await api.get('/tenants')) as { tenants: { id: string }[] };
  return tenants.map(({ id }) => id);
}

async function effective(id: string): Promise<Readonly<Record<string, unknown>>> {
  return (await api.get(`/tenants/${id}`))['effective'] as Readonly<Record<string, unknown>>;
}

interface StoredEvent {
  readonly stream: string;
  readonly type: string;
  readonly actor: string;
}

function events(): StoredEvent[] {
  const database = new Database(join(up.dataDir, 'dbbouncer.db'), { readonly: true });
  try {
    const select = database.prepare('SELECT stream, type, actor FROM events ORDER BY position');
    return select.all() as StoredEvent[];
  } finally {
    database.close();
  }
}

describe('psql through dbbouncer up', () => {
  const ways: readonly (readonly [string, (tenant: string) => string])[] = [
    ['options', (id) => `user=app_user dbname=${id}_db options='-c tenant_id=${id}'`],
    ['the user name prefix', (id) => `user=${id}__app_user dbname=${id}_db`],
    ['the database name', (id) => `user=app_user dbname=${id}`],
  ];
  for (const [way, target] of ways) {
    it(`reaches the database of the tenant that ${way} names`, async () => {
      for (const id of ['tenant_1', 'tenant_2']) {
        const where = `"host=127.0.0.1 port=${up.postgresPort} ${target(id)}"`;
        const line = `psql -XAtc 'SELECT current_user, current_database()' ${where}`;
        const { code, stdout, stderr } = await shell(line, { env: { PGPASSWORD: PASSWORD } });
        assert.equal(code, 0, stderr);
        assert.equal(stdout, `app_user|${id}_db\n`);
      }
    });
  }

  it('refuses a wrong password with code 2 and the words of PostgreSQL', async () => {
    const where = `"host=127.0.0.1 port=${up.postgresPort} user=app_user dbname=tenant_1"`;
    const env = { PGPASSWORD: 'wrong' };
    const { code, stderr } = await shell(`psql -XAtc 'SELECT 1' ${where}`, { env });
    assert.equal(code, 2);
    assert.match(stderr, /FATAL: {2}password authentication failed for user "app_user"/);
  });

  it('lends the only connection for a session or for a transaction, as the file says', async () => {
    const [holder, second] = await Promise.all([1, 2].map(() => connect(loginOf('tenant_1'))));
    assert.equal(holder && (await value(holder, 'SELECT 1')), 1);
    await assert.rejects(second?.query('SELECT 1') ?? Promise.resolve(), { code: '53300' });

    const [one, other] = await Promise.all([1, 2].map(() => connect(loginOf('tenant_2'))));
    const pid = 'SELECT pg_backend_pid()';
    assert.equal(one && (await value(one, pid)), other && (await value(other, pid)));
  });
});

describe('the data folder', () => {
  it('is made for its owner alone', () => {
    assert.equal(statSync(up.dataDir).mode & 0o777, 0o700);
  });
});

describe('the key of the API', () => {
  it('is in api.key, which its owner alone can read', () => {
    assert.equal(statSync(join(up.dataDir, 'api.key')).mode & 0o777, 0o600);
    assert.match(keyInFile(), /^\S{32,}$/);
  });

  it('is needed: without one, or with another, every resource answers 401', async () => {
    for (const key of [undefined, 'dbb_another', '']) {
      const stranger = new ApiClient(up.apiUrl, key);
      for (const path of ['/tenants', '/tenants/tenant_1', '/fleet', '/metrics']) {
        const { status, body } = await stranger.call('GET', path);
        assert.equal(status, 401, `GET ${path} with key ${key}`);
        assert.equal(body['code'], 'UNAUTHORIZED');
      }
      assert.equal((await stranger.call('DELETE', '/tenants/tenant_1')).status, 401);
    }
    assert.deepEqual(await listed(), ['tenant_1', 'tenant_2']);
  });

  it('is in no line that the process wrote', () => {
    assert.ok(!up.log.includes(keyInFile()));
    assert.ok(!up.log.includes(PASSWORD));
  });
});

describe('an edit of the config file', () => {
  it('adds a tenant, as an event of the file', async () => {
    const known = events().length;
    await rewrite(configFile(entry('tenant_3', 'pool_mode: transaction')));
    await eventually('tenant_3 is listed', async () => (await listed()).includes('tenant_3'));
    const served = () => ask(loginOf('tenant_3'), 'SELECT current_database()').catch(() => false);
    assert.equal(await eventually('tenant_3 is served', served), 'tenant_3_db');
    assert.deepEqual(events().slice(known), [
      { stream: 'tenant/tenant_3', type: 'TenantRegistered', actor: 'file' },
    ]);
  });

  it('changes the size of a pool for clients that are connected, without a new login', async () => {
    const [holder, second] = await Promise.all([1, 2].map(() => connect(loginOf('tenant_1'))));
    assert.equal(holder && (await value(holder, 'SELECT 1')), 1);
    await rewrite(configFile().replace('max_connections: 1\n', 'max_connections: 2\n'));
    await eventually('the change holds', async () => {
      return (await effective('tenant_1'))['max_connections'] === 2;
    });
    const answer = async () => second && (await value(second, 'SELECT 7').catch(() => undefined));
    assert.equal(await eventually('the second client is served', answer), 7);
    assert.equal(events().at(-1)?.actor, 'file');
  });

  it('is refused as a whole when the file is wrong, and changes nothing', async () => {
    const known = events().length;
    const refusals = () => up.log.split('config file refused').length;
    const broken = configFile(entry('tenant_3', 'max_lifetime: soon'));
    for (const text of [broken, 'tenants: [', '']) {
      const before = refusals();
      await rewrite(text);
      await eventually('it is refused', () => refusals() > before);
    }
    assert.match(up.log, /dbbouncer\.yaml:\d+:\d+: tenants\.tenant_3\.max_lifetime must be/);
    assert.deepEqual(await listed(), ['tenant_1', 'tenant_2']);
    assert.equal(events().length, known);
    assert.equal(await ask(loginOf('tenant_1'), 'SELECT current_database()'), 'tenant_1_db');
  });

  it('removes what it added, and no tenant that the API registered', async () => {
    await addByApi('by_api');
    await rewrite(configFile(entry('tenant_3', 'pool_mode: transaction')));
    await eventually('tenant_3 is listed', async () => (await listed()).includes('tenant_3'));
    await rewrite(configFile());
    await eventually('tenant_3 is gone', async () => !(await listed()).includes('tenant_3'));
    assert.deepEqual(await listed(), ['by_api', 'tenant_1', 'tenant_2']);
    assert.equal(await ask(loginOf('by_api'), 'SELECT current_database()'), 'tenant_3_db');
    await api.removeTenant('by_api');
  });
});

describe('signals that other poolers are told things by', () => {
  for (const [signal, words] of [
    ['SIGHUP', /"signal":"SIGHUP".*a signal that asks for nothing/],
    ['SIGUSR2', /"signal":"SIGUSR2".*there are no workers to replace/],
  ] as const) {
    it(`${signal} ends neither the process nor a transaction, and the log says so`, async () => {
      const client = await connect(loginOf('tenant_1'));
      await begin(client);
      const { pid } = up;
      process.kill(pid, signal);
      await eventually('it is told', () => words.test(up.log));
      assert.equal(await value(client, 'SELECT 7'), 7);
      assert.equal((await client.query('COMMIT')).command, 'COMMIT');
      process.kill(pid, 0);
    });
  }
});

describe('a restart', () => {
  for (const how of ['SIGTERM', 'SIGKILL'] as const) {
    it(`after ${how} keeps the key, every tenant with its ETag, and serves them all`, async () => {
      const id = `kept_over_${how}`;
      await addByApi(id);
      const key = keyInFile();
      const before = await answers(id);
      if (how === 'SIGTERM') await up.stop();
      else await up.kill();
      await up.start();
      assert.equal(keyInFile(), key);
      assert.deepEqual(await answers(id), before);
      for (const tenant of ['tenant_1', 'tenant_2', id]) {
        assert.equal(await ask(loginOf(tenant), 'SELECT 1'), 1);
      }
      await api.removeTenant(id);
    });
  }
});

/** Its password is sealed; those of the file are references. */
async function addByApi(id: string): Promise<ApiAnswer> {
  const where = { port: cluster.port, dbname: 'tenant_3_db', username: 'app_user' };
  return await api.addTenant({ id, ...where, password: PASSWORD });
}

/** What is said of tenants that does not depend on the moment. */
async function answers(id: string): Promise<unknown[]> {
  const all = await Promise.all(
    ['tenant_1', 'tenant_2', id].map((name) => api.call('GET', `/tenants/${name}`)),
  );
  return all.map(({ etag, body }) => ({
    etag,
    body: { ...body, stats: undefined, on_proxies: undefined },
  }));
}
