/**
 * Clients that all come at the same moment, as after a restart of their pods: nobody is refused or
 * given up, and none is kept waiting by how many they are.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { Crowd } from '../support/crowd.ts';
import { isLongForm } from '../support/fuzzing.ts';
import { metric, untilAtRest } from '../support/proxy-metrics.ts';
import { TestProxy } from '../support/test-proxy.ts';

const CLIENTS = isLongForm() ? 10_000 : 2_000;
/** They come in good order, to know how fast this machine is. */
const ORDERLY = 500;
const AT_ONCE = 20;
/** What is to spare for a crowd: nobody may be left waiting for a packet to be sent again. */
const SLOWER_MAX = 6;
const GIVEN_UP_AFTER_MS = 60_000;
const LOGIN = { user: 'postgres', password: 'burst secret', database: 'acme' };
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: LOGIN.password });
  const { port } = cluster;
  const login = { port, database: 'postgres', username: LOGIN.user, password: LOGIN.password };
  const pool = { poolMode: 'transaction', maxConnections: 4, leakDetector: 'off' } as const;
  proxy = await TestProxy.start({
    tenants: [{ id: 'acme', ...login, pool }],
    env: {
      DBBOUNCER_CLIENT_LOGIN_TIMEOUT: `${GIVEN_UP_AFTER_MS}ms`,
      DBBOUNCER_MAX_CLIENT_CONNECTIONS: String(CLIENTS + 100),
    },
  });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

const arrive = (clients: number, atOnce: number) =>
  Crowd.open({ address: proxy, login: LOGIN, clients, atOnce, sql: 'SELECT 1' });

describe(`${CLIENTS} clients that connect at once`, () => {
  it(`are all served, in ${SLOWER_MAX} times what ${AT_ONCE} at a time take at most`, async () => {
    const orderly = await arrive(ORDERLY, AT_ONCE);
    assert.deepEqual(orderly.problems, []);
    await orderly.end();
    await untilAtRest(proxy);
    const crowd = await arrive(CLIENTS, CLIENTS);
    assert.deepEqual(crowd.problems, []);
    const [perClient, usual] = [crowd.tookMs / CLIENTS, orderly.tookMs / ORDERLY];
    assert.ok(perClient < SLOWER_MAX * usual, `${perClient} ms each, ${usual} ms in order`);
    assert.equal(await metric(proxy, 'dbbouncer_tenant_clients', { tenant: 'acme' }), CLIENTS);
    await crowd.end();
    await untilAtRest(proxy);
  });
});
