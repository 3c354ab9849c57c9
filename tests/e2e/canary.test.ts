/**
 * A change that one of three proxies tries first, over NATS and on real PostgreSQL: a good one is
 * made for all by itself, a bad one for nobody, and clients of the other proxies notice neither.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';
import { ApiClient } from './api-client.ts';
import { ask, disconnectAll, Workers } from './sql-clients.ts';
import type { Login } from './sql-clients.ts';

const USER = 'app';
const PASSWORD = 'canary secret';
const API_KEY = 'a-key-of-the-tests-0123456789';
const WHICH_HOST = 'SELECT host(inet_server_addr())';
const HERE = '127.0.0.1';
const THERE = '127.0.0.2';
const PROXIES = ['p1', 'p2', 'p3'] as const;

let cluster: PostgresCluster | undefined;
let nats: NatsServer | undefined;
let controlPlane: DbbouncerProcess | undefined;
let api: ApiClient;
const proxies = new Map<string, DbbouncerProcess>();

tellLogsOfFailures();

before(async () => {
  [cluster, nats] = await Promise.all([
    startPostgresCluster({
      superuserPassword: PASSWORD,
      settings: { listen_addresses: `${HERE},${THERE}` },
    }),
    startNatsServer(),
  ]);
  await cluster.sql('postgres', `CREATE ROLE ${USER} LOGIN PASSWORD '${PASSWORD}'`);
  await cluster.sql('postgres', `CREATE DATABASE shop OWNER ${USER}`);
  const args = ['--nats', nats.url];
  const env = { DBBOUNCER_MASTER_KEY: 'a master key for tests only' };
  controlPlane = await DbbouncerProcess.start({
    command: 'control-plane',
    args,
    env: { ...env, DBBOUNCER_API_KEY: API_KEY },
  });
  const start = async (id: string) => {
    const own = { ...env, DBBOUNCER_PROXY_ID: id };
    proxies.set(id, await DbbouncerProcess.start({ command: 'proxy', args, env: own }));
  };
  await Promise.all(PROXIES.map(start));
  api = new ApiClient(controlPlane.apiUrl, API_KEY);
});
afterEach(disconnectAll);
after(async () => {
  // Whatever has begun ends, also where something else did not.
  await Promise.allSettled(
    [...proxies.values(), controlPlane].map(async (one) => await one?.stop()),
  );
  await nats?.stop();
  await cluster?.remove();
});

const loginAt = (proxy: string, tenant: string): Login => ({
  port: proxies.get(proxy)?.postgresPort ?? 0,
  tenant,
  user: USER,
  password: PASSWORD,
});

async function addTenant(id: string): Promise<void> {
  await api.addTenant({
    id,
    host: HERE,
    port: cluster?.port ?? 0,
    dbname: 'shop',
    username: USER,
    password: PASSWORD,
    pool_mode: 'transaction',
    min_connections: 0,
  });
  await settled();
}

/** All three proxies serve the last event. */
async function settled(): Promise<void> {
  await eventually('all proxies have applied the whole log', async () => {
    const live = (await api.fleet()).proxies.filter(({ status }) => status === 'live');
    return live.length === PROXIES.length && live.every(({ behind }) => behind === 0);
  });
}

interface CanaryAnswer {
  readonly proxies: readonly string[];
  readonly changes: readonly { readonly field: string }[];
  readonly observed: { readonly canaries: { readonly queries: number } } | null;
}

const canaryOf = async (id: string) =>
  (await api.get(`/tenants/${id}`))['canary'] as CanaryAnswer | null;

async function tryFirst(id: string, changes: object, promoteAfter: string): Promise<string> {
  const query = `?canary=10%&promote_after=${promoteAfter}&wait=applied`;
  const { etag } = await api.call('GET', `/tenants/${id}`);
  const answer = await api.call('PATCH', `/tenants/${id}${query}`, changes, etag);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const { proxies: chosen, changes: told } = answer.body['canary'] as CanaryAnswer;
  assert.deepEqual([chosen.length, told.map(({ field }) => field)], [1, Object.keys(changes)]);
  return chosen[0] ?? '';
}

interface EventAnswer {
  readonly type: string;
  readonly actor: string;
  readonly reason: string | null;
  readonly occurred_at: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The event that has ended the tenant's canary. */
async function ended(id: string, withinMs: number): Promise<EventAnswer> {
  const path = `/events?tenant=${id}&type=CanaryPromoted&type=CanaryRolledBack`;
  return await eventually(
    'the canary has ended',
    async () => ((await api.get(path))['events'] as readonly EventAnswer[])[0],
    { withinMs },
  );
}

const hostsAt = (ids: readonly string[], tenant: string) =>
  Promise.all(ids.map((id) => ask(loginAt(id, tenant), WHICH_HOST)));

describe('a change with ?canary=10%', () => {
  it('to another server holds for one proxy first, then by itself for all', async () => {
    await addTenant('good');
    const all = PROXIES.map((proxy) => loginAt(proxy, 'good'));
    const workers = await Workers.start(all, 1, 'shop');
    const canary = await tryFirst('good', { host: THERE }, '4s');
    const others = PROXIES.filter((proxy) => proxy !== canary);
    assert.deepEqual(await hostsAt([canary], 'good'), [THERE]);
    assert.deepEqual(await hostsAt(others, 'good'), [HERE, HERE]);
    const meanwhile = await api.call('PATCH', '/tenants/good?force=false', {}, '*');
    assert.deepEqual([meanwhile.status, meanwhile.body['code']], [409, 'CANARY_RUNNING']);
    const { type, actor, reason } = await ended('good', 20_000);
    assert.deepEqual([type, actor], ['CanaryPromoted', 'system:canary'], String(reason));
    await settled();
    const { host, canary: left } = await api.get('/tenants/good');
    assert.deepEqual([host, left], [THERE, null]);
    assert.deepEqual(await hostsAt(PROXIES, 'good'), [THERE, THERE, THERE]);
    await workers.stop();
  });

  it('to a port where nothing listens is taken back by itself, unseen elsewhere', async () => {
    await addTenant('bad');
    const dead = await freePort('127.0.0.1');
    const canary = await tryFirst('bad', { port: dead }, '60s');
    const others = PROXIES.filter((proxy) => proxy !== canary);
    const workers = await Workers.start(
      others.map((proxy) => loginAt(proxy, 'bad')),
      2,
      'shop',
    );
    const asked = ask(loginAt(canary, 'bad'), WHICH_HOST).catch((error: unknown) => String(error));
    const { type, actor, reason, data } = await ended('bad', 10_000);
    assert.deepEqual([type, actor], ['CanaryRolledBack', 'system:canary']);
    assert.equal(data['cause'], 'dial_failures', String(reason));
    assert.match(String(reason), /ECONNREFUSED|refused/i);
    await asked;
    await settled();
    assert.deepEqual(await hostsAt(PROXIES, 'bad'), [HERE, HERE, HERE]);
    await workers.goOn();
    await workers.stop();
  });

  it('is taken back by itself after a restart of the control plane, without traffic', async () => {
    await addTenant('quiet');
    await tryFirst('quiet', { port: await freePort('127.0.0.1') }, '2s');
    assert.ok(controlPlane !== undefined);
    assert.ok((await canaryOf('quiet')) !== null);
    await controlPlane.kill();
    const killedMs = Date.now();
    await controlPlane.start();
    api = new ApiClient(controlPlane.apiUrl, API_KEY);
    const { type, reason, occurred_at: endedAt } = await ended('quiet', 20_000);
    assert.ok(Date.parse(endedAt) >= killedMs, 'by the next life of the control plane');
    assert.equal(type, 'CanaryRolledBack');
    assert.match(String(reason), /few have used it; a probe failed/);
  });
});
