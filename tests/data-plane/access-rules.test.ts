/** Who may come from where: the rules of a tenant on a real proxy, and what they give away. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'access secret';
const HERE = '127.0.0.1';
const THERE = '127.0.0.2';
let cluster: PostgresCluster;
let proxy: TestProxy;

const tenant = (access: TestTenant['access']): TestTenant => ({
  id: 'acme',
  port: cluster.port,
  database: 'postgres',
  username: 'postgres',
  password: PASSWORD,
  pool: { poolMode: 'transaction', minConnections: 0 },
  access,
});

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  proxy = await TestProxy.start({ tenants: [tenant([{ action: 'allow', from: HERE }])] });
});
after(async () => {
  await proxy.stop();
  await cluster.remove();
});

const login = (from: string, changes: Readonly<Record<string, string>> = {}) =>
  RawClient.login(
    { host: proxy.host, port: proxy.port, localAddress: from },
    { user: 'postgres', password: PASSWORD, database: 'acme', ...changes },
  );
const refusal = async (attempt: Promise<unknown>): Promise<string> => {
  try {
    await attempt;
  } catch (error) {
    return (error as Error).message;
  }
  return 'let in';
};

describe('access rules', () => {
  it('let in whom they allow, and tell others with the right password 28000', async () => {
    const client = await login(HERE);
    client.send(query('SELECT 1'));
    assert.deepEqual(firstColumns(await client.until('Z')), ['1']);
    client.end();
    const who = 'user "postgres" to database "postgres"';
    const told = `28000: no access rule allows ${who} from ${THERE} without TLS`;
    assert.equal(await refusal(login(THERE)), told);
    await proxy.atRest();
    const metrics = await (await fetch(proxy.metricsUrl)).text();
    assert.match(metrics, /dbbouncer_auth_failures_total\{reason="access_refused"\} 1/);
  });

  it('give nothing away: without the password, a refused address reads what all read', async () => {
    const wrong = { password: 'wrong' };
    const unknown = { database: 'nobody', password: 'wrong' };
    const told = '28P01: password authentication failed for user "postgres"';
    assert.equal(await refusal(login(THERE, wrong)), told);
    assert.equal(await refusal(login(HERE, wrong)), told);
    assert.equal(await refusal(login(THERE, unknown)), told);
  });

  it('end sessions that they no longer let in, between their transactions', async () => {
    const [busy, other] = [await login(HERE), await login(HERE)];
    busy.send(query('BEGIN'));
    await busy.until('Z');
    await proxy.setTenant(tenant([{ action: 'deny', from: '127.0.0.0/8' }]));
    const ended = await other.until('E');
    assert.equal(ended.map((message) => fields(message)['C']).at(-1), '28000');
    await other.closed();
    busy.send(query('SELECT 2'));
    assert.deepEqual(firstColumns(await busy.until('Z')), ['2']);
    busy.send(query('COMMIT'));
    const last = await busy.until('E');
    assert.equal(last.map((message) => fields(message)['C']).at(-1), '28000');
    await busy.closed();
    await proxy.setTenant(tenant(undefined));
    (await login(THERE)).end();
    await proxy.atRest();
  });
});
