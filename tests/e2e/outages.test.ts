/**
 * kill -9 of each process while clients work: those who are not concerned notice nothing, what was
 * acknowledged is kept, and what comes back catches up (invariant 10).
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import type { DbbouncerProcess } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import type { FleetAnswer, TenantFields } from './api-client.ts';
import { startFleet } from './fleet.ts';
import type { Fleet } from './fleet.ts';
import { ask, connect, disconnectAll, value, Workers } from './sql-clients.ts';
import type { Login } from './sql-clients.ts';

const PASSWORD = 'outage secret';
const WHICH_DATABASE = 'SELECT current_database()';

let cluster: PostgresCluster;
let fleet: Fleet;
let tenantsMade = 0;
/** Served by both proxies before each test. */
let tenant: TenantFields;

tellLogsOfFailures();

before(async () => {
  [cluster, fleet] = await Promise.all([
    startPostgresCluster({ superuserPassword: PASSWORD }),
    startFleet(),
  ]);
  await cluster.sql('postgres', `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
  await cluster.sql('postgres', 'CREATE DATABASE shop OWNER app');
  await cluster.sql('postgres', 'CREATE DATABASE depot OWNER app');
  tenant = newTenant();
  await fleet.api.addTenant(tenant);
  await fleet.settled();
});
afterEach(disconnectAll);
after(async () => {
  await fleet.stop();
  await cluster.remove();
});

function newTenant(): TenantFields {
  tenantsMade += 1;
  return {
    id: `tenant_${tenantsMade}`,
    port: cluster.port,
    dbname: 'shop',
    username: 'app',
    password: PASSWORD,
    pool_mode: 'transaction',
    min_connections: 0,
    max_connections: 2,
  };
}

function loginAt(proxy: DbbouncerProcess, { id }: TenantFields = tenant): Login {
  return { port: proxy.postgresPort, tenant: id, user: 'app', password: PASSWORD };
}

const loginsAtBoth = (of?: TenantFields) => fleet.proxies.map((proxy) => loginAt(proxy, of));

async function assertServed(by: readonly Login[], database = 'shop'): Promise<void> {
  for (const login of by) assert.equal(await ask(login, WHICH_DATABASE), database);
}

/** A change that only a proxy that hears of it can know. */
async function assertChangesArrive(): Promise<void> {
  const later = newTenant();
  await fleet.api.addTenant(later);
  await fleet.api.patchTenant(later.id, { dbname: 'depot' });
  await fleet.settled();
  await assertServed(loginsAtBoth(later), 'depot');
}

/** The copy of the config that a proxy keeps. */
function diskCopiesOf({ dataDir }: DbbouncerProcess): string[] {
  const proxies = join(dataDir, 'proxies');
  const copies = readdirSync(proxies).map((name) => join(proxies, name, 'config.json'));
  assert.equal(copies.length, 1, 'one process, one folder');
  return copies;
}

describe('kill -9 of the control plane', () => {
  const restored = async () => {
    if (!fleet.controlPlane.isRunning) await fleet.controlPlane.start();
  };
  afterEach(restored);

  it('stops no client: those that work go on and new ones are let in', async () => {
    const workers = await Workers.start(loginsAtBoth(), 4, 'shop');
    await workers.goOn();
    await fleet.controlPlane.kill();
    await workers.goOn();
    await assertServed(loginsAtBoth());
    await fleet.controlPlane.start();
    await fleet.settled();
    await workers.goOn();
    await workers.stop();
  });

  it('lets a proxy that starts meanwhile boot from the bus, newest change included', async () => {
    const [bystander, proxy] = fleet.proxies;
    const workers = await Workers.start([loginAt(bystander)], 4, 'shop');
    const newest = newTenant();
    await fleet.api.addTenant(newest);
    await fleet.settled();
    await fleet.controlPlane.kill();
    await proxy.kill();
    // So that the bus is the only place it can have its config from.
    for (const copy of diskCopiesOf(proxy)) rmSync(copy);
    await proxy.start();
    await assertServed([loginAt(proxy), loginAt(proxy, newest)]);
    await workers.goOn();
    await workers.stop();
    await fleet.controlPlane.start();
    await assertChangesArrive();
  });

  it('loses no acknowledged change: tenants and ETags are equal afterwards', async () => {
    const acknowledged = new Map<string, string | null>();
    const write = async (): Promise<void> => {
      for (;;) {
        const { id, ...fields } = newTenant();
        const { etag } = await fleet.api.addTenant({ id, ...fields });
        acknowledged.set(id, etag);
        const changed = await fleet.api.patchTenant(id, { max_connections: 7 });
        acknowledged.set(id, changed.etag);
      }
    };
    // What `fetch` throws when the connection breaks, be it before the answer or within.
    const writers = Array.from({ length: 4 }, () => assert.rejects(write(), TypeError));
    await eventually('30 tenants are acknowledged', () => acknowledged.size >= 30);
    await fleet.controlPlane.kill();
    await Promise.all(writers);

    await fleet.controlPlane.start();
    for (const [id, etag] of acknowledged) {
      const answer = await fleet.api.call('GET', `/tenants/${id}`);
      assert.equal(answer.status, 200, `tenant ${id} was acknowledged`);
      // The change that was under way may have been kept without an answer.
      const versions = etag === '"1"' ? ['"1"', '"2"'] : ['"2"'];
      assert.ok(versions.includes(String(answer.etag)), `${id}: ${etag} became ${answer.etag}`);
    }
    await fleet.settled();
    const ids = [...acknowledged.keys()];
    for (const id of [ids[0], ids.at(-1)]) {
      await assertServed(loginsAtBoth({ ...tenant, id: id ?? '' }));
    }
    await assertChangesArrive();
  });
});

for (const data of ['kept', 'wiped'] as const) {
  describe(`kill -9 of nats-server, its data ${data}`, () => {
    it('stops no client, starts a proxy from disk, delivers what changed meanwhile', async () => {
      const [bystander, proxy] = fleet.proxies;
      const workers = await Workers.start([loginAt(bystander)], 4, 'shop');
      await workers.goOn();
      await diskCopiesWritten();
      await fleet.nats.kill();
      await workers.goOn();
      await assertServed(loginsAtBoth());

      const meanwhile = newTenant();
      assert.equal((await fleet.api.addTenant(meanwhile)).status, 201);
      await proxy.kill();
      await proxy.start();
      await assertServed([loginAt(proxy)]);
      assert.match(proxy.log.split('-- ended').at(-1) ?? '', /serving the config copy from disk/);

      if (data === 'wiped') fleet.nats.wipe();
      await fleet.nats.start();
      await fleet.settled();
      await assertServed(loginsAtBoth(meanwhile));
      await assertChangesArrive();
      await workers.goOn();
      await workers.stop();
    });
  });
}

/** Resolves when the disk of every proxy holds the newest config. */
async function diskCopiesWritten(): Promise<void> {
  const { position } = await fleet.settled();
  const written = (proxy: DbbouncerProcess) => positionOnDisk(proxy) === position;
  await eventually('the config is on disk', () => fleet.proxies.every(written));
}

function positionOnDisk(proxy: DbbouncerProcess): number | undefined {
  const [copy = ''] = diskCopiesOf(proxy);
  try {
    const text = readFileSync(copy, 'utf8').replace(/\nhmac-sha256 .*\n$/, '');
    return (JSON.parse(text) as { position: number }).position;
  } catch {
    return undefined;
  }
}

describe('a control plane that starts while nats-server is down', () => {
  it('takes changes at once and tells the proxies when it is back', async () => {
    await fleet.nats.kill();
    await fleet.controlPlane.kill();
    await fleet.controlPlane.start('alive');
    const meanwhile = newTenant();
    assert.equal((await fleet.api.addTenant(meanwhile)).status, 201);
    assert.equal((await fleet.api.call('GET', '/ready')).status, 503);
    await fleet.nats.start();
    await fleet.settled();
    await assertServed(loginsAtBoth(meanwhile));
  });
});

describe('a proxy that starts with the control plane down and an emptied bus', () => {
  it('serves from disk, and follows when the control plane is back', async () => {
    const [, proxy] = fleet.proxies;
    await diskCopiesWritten();
    await Promise.all([fleet.nats.kill(), fleet.controlPlane.kill(), proxy.kill()]);
    fleet.nats.wipe();
    await fleet.nats.start();
    await proxy.start();
    await assertServed(loginsAtBoth());
    await fleet.controlPlane.start();
    await assertChangesArrive();
  });
});

describe('kill -9 of a proxy', () => {
  it('ends its clients; it comes back as the same proxy, and they connect again', async () => {
    const [proxy, other] = fleet.proxies;
    const before = await fleet.settled();
    const client = await connect(loginAt(proxy));
    await client.query('BEGIN');
    const pid = await value(client, 'SELECT pg_backend_pid()');
    const workers = await Workers.start([loginAt(other)], 4, 'shop');

    await proxy.kill();
    await assert.rejects(client.query('SELECT 1'));
    await workers.goOn();
    await proxy.start();
    await assertServed([loginAt(proxy)]);
    await workers.stop();

    const after = await eventually('it reports again', async () => {
      const seen = await fleet.settled();
      const starts = (of: FleetAnswer) => of.proxies.map(({ started_at }) => started_at);
      return starts(seen).join() !== starts(before).join() && seen;
    });
    const ids = (of: FleetAnswer) => of.proxies.map(({ id }) => id);
    assert.deepEqual(ids(after), ids(before));
    await eventually('PostgreSQL has ended the transaction of the client', async () => {
      const text = `SELECT FROM pg_stat_activity WHERE pid = ${Number(pid)}`;
      return (await cluster.sql('postgres', text)).length === 0;
    });
  });
});
