/**
 * What clients cost the proxy that are logged in and say nothing: a fleet of pods has thousands of
 * them. Counted is what the garbage collector leaves, on the heap and outside of it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { Crowd } from '../support/crowd.ts';
import { eventually } from '../support/eventually.ts';
import { metric, untilAtRest } from '../support/proxy-metrics.ts';
import type { RawLogin } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Of one client; Node's own socket is a third of what there is. */
const BYTES_MAX = 5_000;
const CLIENTS = 1_000;
const AT_ONCE = 50;
const LOGIN = { user: 'postgres', password: 'idle secret', database: 'acme' };
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: LOGIN.password });
  const { port } = cluster;
  const login = { port, database: 'postgres', username: LOGIN.user, password: LOGIN.password };
  const pool = { poolMode: 'transaction', maxConnections: 4, leakDetector: 'off' } as const;
  proxy = await TestProxy.start({ tenants: [{ id: 'acme', ...login, pool }] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

async function bytesHeld(): Promise<number> {
  // What a collection finalizes may hold more, which the next one takes.
  for (let i = 0; i < 4; i++) {
    collectGarbage();
    await turn();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** What each client holds while it is idle, over what the proxy holds without it. */
async function bytesOfEach(login: RawLogin, sql?: string): Promise<number> {
  const options = { address: proxy, login, atOnce: AT_ONCE, ...(sql !== undefined && { sql }) };
  // Code that is compiled, buffers that grow, and caches: not the clients' own.
  await (await Crowd.open({ ...options, clients: 200 })).end();
  await untilAtRest(proxy);
  const before = await bytesHeld();
  const crowd = await Crowd.open({ ...options, clients: CLIENTS });
  assert.deepEqual(crowd.problems, []);
  const present = () => metric(proxy, 'dbbouncer_tenant_clients', { tenant: 'acme' });
  await eventually('all are there', async () => (await present()) === CLIENTS);
  const bytes = ((await bytesHeld()) - before) / CLIENTS;
  await crowd.end();
  await untilAtRest(proxy);
  return bytes;
}

const holdsLittle = (bytes: number): void =>
  assert.ok(bytes < BYTES_MAX, `${bytes.toFixed(0)} bytes, ${BYTES_MAX} are allowed`);

describe(`of ${CLIENTS} idle clients each`, () => {
  it(`holds less than ${BYTES_MAX} bytes after its login`, async () => {
    holdsLittle(await bytesOfEach(LOGIN));
  });

  it(`holds less than ${BYTES_MAX} bytes after a query`, async () => {
    holdsLittle(await bytesOfEach(LOGIN, 'SELECT 1'));
  });

  it('holds nothing of the 9,000 bytes that its startup message had', async () => {
    const parameters = { application_name: 'x'.repeat(9_000) };
    holdsLittle(await bytesOfEach({ ...LOGIN, parameters }));
  });

  it('shares 4,000 bytes of parameters with those who have asked for the same', async () => {
    const parameters = { search_path: `public, ${'x'.repeat(4_000)}` };
    holdsLittle(await bytesOfEach({ ...LOGIN, parameters }));
  });
});
