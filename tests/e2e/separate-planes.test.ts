/**
 * Control plane, nats-server and two proxies as processes of their own, on real PostgreSQL: what
 * one REST call changes for the clients of every proxy.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { DatabaseError } from 'pg';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import { shell } from '../support/processes.ts';
import type { TenantFields } from './api-client.ts';
import { startFleet } from './fleet.ts';
import type { Fleet } from './fleet.ts';
import { ask, begin, connect, disconnectAll, value, Workers } from './sql-clients.ts';
import type { Login } from './sql-clients.ts';

const USER = 'app';
const PASSWORD = 'planes secret';
const SERVED_WITHIN_MS = 1_000;
const WHICH_PORT = 'SELECT inet_server_port()';
const WHICH_HOST = 'SELECT host(inet_server_addr())';

let here: PostgresCluster;
let there: PostgresCluster;
let fleet: Fleet;
let tenantsMade = 0;

tellLogsOfFailures();

before(async () => {
  const options = {
    superuserPassword: PASSWORD,
    settings: { listen_addresses: '127.0.0.1,127.0.0.2' },
  };
  [here, there, fleet] = await Promise.all([
    startPostgresCluster(options),
    startPostgresCluster(options),
    startFleet(),
  ]);
  for (const cluster of [here, there]) {
    await cluster.sql('postgres', `CREATE ROLE ${USER} LOGIN PASSWORD '${PASSWORD}'`);
    for (const name of ['shop', 'moved']) {
      await cluster.sql('postgres', `CREATE DATABASE ${name} OWNER ${USER}`);
    }
  }
});
afterEach(disconnectAll);
after(async () => {
  await fleet.stop();
  await Promise.all([here.remove(), there.remove()]);
});

/** A tenant of its own for each test. */
function newTenant(change: Partial<TenantFields> = {}): TenantFields {
  tenantsMade += 1;
  return {
    id: `tenant_${tenantsMade}`,
    port: here.port,
    dbname: 'shop',
    username: USER,
    password: PASSWORD,
    pool_mode: 'transaction',
    min_connections: 0,
    ...change,
  };
}

/** How a client of `tenant` logs in, at each proxy. */
function loginsOf({ id }: TenantFields, password = PASSWORD): readonly Login[] {
  return fleet.proxies.map(({ postgresPort }) => ({
    port: postgresPort,
    tenant: id,
    user: USER,
    password,
  }));
}

async function addServedTenant(change: Partial<TenantFields> = {}): Promise<TenantFields> {
  const tenant = newTenant(change);
  await fleet.api.addTenant(tenant);
  await fleet.settled();
  return tenant;
}

/** One client per proxy that is in a transaction, and one that is not. */
async function connectClients(logins: readonly Login[]) {
  const running = await Promise.all(logins.map(connect));
  const idle = await Promise.all(logins.map(connect));
  for (const client of running) await begin(client);
  return { running, idle };
}

/** The answer of a login as soon as it is let in; undefined while it is refused. */
async function answerIfLetIn(login: Login): Promise<unknown> {
  try {
    return await ask(login, 'SELECT current_database()');
  } catch (error) {
    if (error instanceof DatabaseError && error.code === '28P01') return undefined;
    throw error;
  }
}

async function refusalOf(login: Login): Promise<DatabaseError> {
  const error: unknown = await connect(login).catch((reason: unknown) => reason);
  assert.ok(error instanceof DatabaseError, `refused by the proxy, not with ${String(error)}`);
  return error;
}

describe('POST /tenants', () => {
  it('lets clients of the tenant in at both proxies within 1 s', async () => {
    const tenant = newTenant();
    const { status, etag } = await fleet.api.addTenant(tenant);
    const answeredAt = performance.now();
    const limits = { withinMs: SERVED_WITHIN_MS };
    const answers = loginsOf(tenant).map((login) =>
      eventually('a login works', () => answerIfLetIn(login), limits),
    );
    assert.deepEqual(await Promise.all(answers), ['shop', 'shop']);
    assert.ok(performance.now() - answeredAt < SERVED_WITHIN_MS);
    assert.deepEqual({ status, etag }, { status: 201, etag: '"1"' });
  });

  it('lets psql in by options, by user name prefix and by database name', async () => {
    const { id } = await addServedTenant();
    const env = { PGPASSWORD: PASSWORD };
    for (const { postgresPort } of fleet.proxies) {
      for (const who of [
        `user=${USER} dbname=shop options='-c tenant_id=${id}'`,
        `user=${id}__${USER} dbname=shop`,
        `user=${USER} dbname=${id}`,
      ]) {
        const line = `psql -XAtc 'SELECT current_user, current_database()'`;
        const target = `"host=127.0.0.1 port=${postgresPort} ${who}"`;
        const { code, stdout, stderr } = await shell(`${line} ${target}`, { env });
        assert.equal(code, 0, `${who}: ${stderr}`);
        assert.equal(stdout, 'app|shop\n', who);
      }
    }
  });
});

describe('PATCH of the port', () => {
  it('moves new transactions to the other server and lets running ones finish', async () => {
    const tenant = await addServedTenant();
    const { running, idle } = await connectClients(loginsOf(tenant));
    for (const client of idle) assert.equal(await value(client, WHICH_PORT), here.port);
    await fleet.api.patchTenant(tenant.id, { port: there.port });
    await fleet.settled();
    for (const client of idle) assert.equal(await value(client, WHICH_PORT), there.port);
    for (const client of running) {
      assert.equal(await value(client, WHICH_PORT), here.port, 'the transaction stays');
      await client.query('COMMIT');
      assert.equal(await value(client, WHICH_PORT), there.port, 'the next one moves');
    }
    for (const login of loginsOf(tenant)) assert.equal(await ask(login, WHICH_PORT), there.port);
  });

  it('leaves sessions of session mode where they are and sends new ones to the other', async () => {
    const tenant = await addServedTenant({ pool_mode: 'session' });
    const clients = await Promise.all(loginsOf(tenant).map(connect));
    for (const client of clients) await client.query('CREATE TEMP TABLE mine AS SELECT 7 AS n');
    await fleet.api.patchTenant(tenant.id, { port: there.port });
    await fleet.settled();
    for (const client of clients) assert.equal(await value(client, 'SELECT n FROM mine'), 7);
    for (const login of loginsOf(tenant)) assert.equal(await ask(login, WHICH_PORT), there.port);
  });

  it('fails no query of clients that never stop', async () => {
    const tenant = await addServedTenant({ dbname: 'moved', max_connections: 4 });
    const workers = await Workers.start(loginsOf(tenant), 6, 'moved');
    for (const { port } of [there, here, there]) {
      await workers.goOn();
      await fleet.api.patchTenant(tenant.id, { port });
      await fleet.settled();
    }
    await workers.goOn();
    await workers.stop();
    for (const login of loginsOf(tenant)) assert.equal(await ask(login, WHICH_PORT), there.port);
    await eventually('the old server is left', async () => {
      const text = `SELECT FROM pg_stat_activity WHERE datname = 'moved'`;
      return (await here.sql('postgres', text)).length === 0;
    });
  });
});

describe('PATCH of the host', () => {
  it('moves new transactions to the other address and lets running ones finish', async () => {
    const tenant = await addServedTenant();
    const { running, idle } = await connectClients(loginsOf(tenant));
    for (const client of idle) assert.equal(await value(client, WHICH_HOST), '127.0.0.1');
    await fleet.api.patchTenant(tenant.id, { host: '127.0.0.2' });
    await fleet.settled();
    for (const client of idle) assert.equal(await value(client, WHICH_HOST), '127.0.0.2');
    for (const client of running) {
      assert.equal(await value(client, WHICH_HOST), '127.0.0.1');
      await client.query('COMMIT');
      assert.equal(await value(client, WHICH_HOST), '127.0.0.2');
    }
  });
});

describe('PATCH of the password', () => {
  it('holds for new logins and new server connections; nobody who is in is ended', async () => {
    await here.sql('postgres', `CREATE ROLE renewed LOGIN PASSWORD '${PASSWORD}'`);
    const tenant = await addServedTenant({ username: 'renewed' });
    const logins = loginsOf(tenant).map((login) => ({ ...login, user: 'renewed' }));
    const { running, idle } = await connectClients(logins);
    const before = await Promise.all(idle.map((client) => value(client, PID)));

    await here.sql('postgres', `ALTER ROLE renewed PASSWORD 'a newer secret'`);
    await fleet.api.patchTenant(tenant.id, { password: 'a newer secret' });
    await fleet.settled();
    for (const login of logins) {
      assert.equal((await refusalOf(login)).code, '28P01');
      assert.equal(await ask({ ...login, password: 'a newer secret' }, 'SELECT 1'), 1);
    }
    for (const client of running) {
      await client.query('SELECT 1');
      await client.query('COMMIT');
    }
    const after = await Promise.all(idle.map((client) => value(client, PID)));
    for (const pid of after) assert.ok(!before.includes(pid), 'a server connection of its own');
  });
});

describe('PATCH of users and auth_query', () => {
  it('lets them in at both proxies, with sealed passwords, and out again', async () => {
    await here.sql('postgres', `CREATE ROLE listed LOGIN PASSWORD 'of the server'`);
    await here.sql('postgres', `CREATE ROLE found LOGIN PASSWORD 'found pw'`);
    const tenant = await addServedTenant();
    const as = (user: string, password: string) =>
      loginsOf(tenant, password).map((login) => ({ ...login, user }));
    const logins = [...as('mapped', 'of clients'), ...as('found', 'found pw')];
    for (const login of logins) assert.equal((await refusalOf(login)).code, '28P01');

    const mapped = { name: 'mapped', password: 'of clients', server_user: 'listed' };
    await fleet.api.patchTenant(tenant.id, {
      users: [{ ...mapped, server_password: 'of the server' }],
      auth_query: { user: 'postgres', password: PASSWORD },
    });
    await fleet.settled();
    const asked = await Promise.all(logins.map((login) => ask(login, 'SELECT session_user::text')));
    assert.deepEqual(asked, ['listed', 'listed', 'found', 'found']);

    await fleet.api.patchTenant(tenant.id, { users: null, auth_query: null });
    await fleet.settled();
    for (const login of logins) assert.equal((await refusalOf(login)).code, '28P01');
  });
});

describe('DELETE', () => {
  it('ends new logins as a wrong password does, and tells those that are in', async () => {
    const tenant = await addServedTenant();
    const { running, idle } = await connectClients(loginsOf(tenant));
    const told = idle.map(
      (client) => new Promise<Error>((resolve) => client.once('error', resolve)),
    );
    await fleet.api.removeTenant(tenant.id);
    await fleet.settled();
    for (const login of loginsOf(tenant)) {
      const { code, severity, message } = await refusalOf(login);
      assert.deepEqual({ code, severity }, { code: '28P01', severity: 'FATAL' });
      assert.equal(message, `password authentication failed for user "${USER}"`);
    }
    for (const error of await Promise.all(told)) {
      assert.ok(error instanceof DatabaseError);
      assert.equal(error.code, '57P01');
      assert.equal(error.message, `tenant "${tenant.id}" was removed`);
    }
    for (const client of running) {
      assert.equal(await value(client, 'SELECT 1'), 1);
      assert.equal((await client.query('COMMIT')).command, 'COMMIT');
      await assert.rejects(client.query('SELECT 1'));
    }
    assert.equal((await fleet.api.call('GET', `/tenants/${tenant.id}`)).status, 404);
  });
});

describe('GET /fleet', () => {
  it('shows both proxies live at the position of the last change, with their clients', async () => {
    const tenant = await addServedTenant();
    const logins = loginsOf(tenant);
    const clients = await Promise.all([...logins, ...logins].map(connect));
    for (const client of clients.slice(0, 2)) await begin(client);
    const seen = await eventually('the clients are reported', async () => {
      const answer = await fleet.settled();
      return answer.proxies.every((proxy) => proxy.clients === 2) && answer;
    });
    assert.equal(seen.published_position, seen.position);
    assert.equal(new Set(seen.proxies.map(({ id }) => id)).size, 2);
    for (const { status, applied_position, behind, connections } of seen.proxies) {
      assert.deepEqual({ status, behind }, { status: 'live', behind: 0 });
      assert.equal(applied_position, seen.position);
      assert.ok(connections.active >= 1);
    }
    const { position } = seen;
    await fleet.api.patchTenant(tenant.id, { max_connections: 3 });
    assert.equal((await fleet.settled()).position, position + 1);
  });
});

const PID = 'SELECT pg_backend_pid()';
