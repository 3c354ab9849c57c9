/**
 * What operators do to tenants holds over restarts of every process and over changed settings, and
 * is done once: paused stays paused, drained stays drained, nobody is killed or moved again.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { Client } from 'pg';
import { tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { startFleet } from './fleet.ts';
import type { Fleet } from './fleet.ts';
import { ask, connect, disconnectAll, value } from './sql-clients.ts';
import type { Login } from './sql-clients.ts';

const PASSWORD = 'operations secret';
const TENANTS = ['paused', 'drained', 'resumed'] as const;
const PID = 'SELECT pg_backend_pid()';

let cluster: PostgresCluster;
let fleet: Fleet;

tellLogsOfFailures();

before(async () => {
  [cluster, fleet] = await Promise.all([
    startPostgresCluster({ superuserPassword: PASSWORD }),
    startFleet(),
  ]);
  for (const id of TENANTS) {
    const login = { port: cluster.port, dbname: 'postgres', username: 'postgres' };
    // One for each proxy, which it has also while nobody grants it anything.
    const pool = { pool_mode: 'transaction', min_connections: 0, max_connections: 2 } as const;
    await fleet.api.addTenant({ id, ...login, password: PASSWORD, ...pool });
    await fleet.api.patchTenant(id, { pause_wait_timeout: '200ms' });
  }
});
after(async () => {
  await fleet.stop();
  await cluster.remove();
});

async function operate(id: string, operation: string): Promise<void> {
  const { status } = await fleet.api.call('POST', `/tenants/${id}/${operation}`);
  assert.equal(status, 200, `${operation} of ${id}`);
}

const logins = (tenant: string): Login[] =>
  fleet.proxies.map(({ postgresPort }) => {
    return { port: postgresPort, tenant, user: 'postgres', password: PASSWORD };
  });

/** At both proxies; the words differ with where the client was held up. */
async function assertRefused(tenant: string, words: RegExp): Promise<void> {
  for (const login of logins(tenant)) {
    await assert.rejects(ask(login, 'SELECT 1'), (error: Error & { code?: string }) => {
      assert.equal(error.code, '57P03');
      assert.match(error.message, words);
      return true;
    });
  }
}

async function assertOperated(): Promise<void> {
  await assertRefused('paused', /tenant "paused" is paused/);
  await assertRefused('drained', /tenant "drained" is being drained/);
  for (const login of logins('resumed')) assert.equal(await ask(login, 'SELECT 7'), 7);
}

describe('pause and drain hold, and kill and reconnect are over', () => {
  /** Of the tenant that was killed, and has reconnected, before it came. */
  let client: Client;
  let pid: unknown;

  beforeEach(async () => {
    await operate('paused', 'pause');
    await operate('drained', 'drain');
    for (const operation of ['pause', 'resume', 'kill', 'reconnect']) {
      await operate('resumed', operation);
    }
    await fleet.settled();
    await assertOperated();
    client = await connect(logins('resumed')[0] as Login);
    pid = await value(client, PID);
  });
  afterEach(async () => {
    await disconnectAll();
    for (const id of ['paused', 'drained']) await operate(id, 'resume');
    await fleet.settled();
    for (const id of TENANTS) {
      for (const login of logins(id)) assert.equal(await ask(login, 'SELECT 8'), 8);
    }
  });

  async function assertUntouched(): Promise<void> {
    assert.equal(await value(client, PID), pid, 'the client keeps its server connection');
  }

  it('over changed settings of the tenants', async () => {
    for (const id of TENANTS) await fleet.api.patchTenant(id, { max_connections: 3 });
    await fleet.settled();
    await assertOperated();
    await assertUntouched();
    for (const id of TENANTS) await fleet.api.patchTenant(id, { max_connections: 2 });
  });

  it('over kill -9 of the control plane and of nats-server, its data wiped', async () => {
    await Promise.all([fleet.controlPlane.kill(), fleet.nats.kill()]);
    await assertOperated();
    fleet.nats.wipe();
    await fleet.nats.start();
    await fleet.controlPlane.start();
    await fleet.settled();
    await assertOperated();
    await assertUntouched();
  });

  it('over kill -9 of all of them', async () => {
    await Promise.all([fleet.nats, fleet.controlPlane, ...fleet.proxies].map((one) => one.kill()));
    await fleet.nats.start();
    await Promise.all([fleet.controlPlane, ...fleet.proxies].map((one) => one.start()));
    await fleet.settled();
    await assertOperated();
  });
});
