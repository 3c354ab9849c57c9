/**
 * Clients that all come at the same moment, as after a restart of their pods: nobody is refused or
 * given up, and all are served soon.
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
/** Ten times what two idle cores take. */
const WITHIN_MS = CLIENTS * 8;
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
      DBBOUNCER_CLIENT_LOGIN_TIMEOUT: `${WITHIN_MS}ms`,
      DBBOUNCER_MAX_CLIENT_CONNECTIONS: String(CLIENTS + 100),
    },
  });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

describe(`${CLIENTS} clients that connect at once`, () => {
  it(`log in and have the answer to a query, all of them, within ${WITHIN_MS} ms`, async () => {
    const crowd = await Crowd.open({
      address: proxy,
      login: LOGIN,
      clients: CLIENTS,
      atOnce: CLIENTS,
      sql: 'SELECT 1',
    });
    assert.deepEqual(crowd.problems, []);
    assert.ok(crowd.tookMs < WITHIN_MS, `it took ${crowd.tookMs.toFixed(0)} ms`);
    assert.equal(await metric(proxy, 'dbbouncer_tenant_clients', { tenant: 'acme' }), CLIENTS);
    await crowd.end();
    await untilAtRest(proxy);
  });
});
