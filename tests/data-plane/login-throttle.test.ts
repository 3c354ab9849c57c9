/** Failed logins and unknown cancel keys on a real proxy: who has to wait, and who does not. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { fields, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { untilRunning } from './running-statements.ts';

const PASSWORD = 'throttle secret';
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const pool = { poolMode: 'transaction', minConnections: 0 } as const;
  const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD, pool };
  proxy = await TestProxy.start({
    tenants: ['acme', 'globex'].map((id) => ({ id, database: 'postgres', ...tenant })),
    env: {
      DBBOUNCER_LOGIN_THROTTLE_FAILURES: '3',
      DBBOUNCER_LOGIN_THROTTLE_PER: '1h',
      DBBOUNCER_LOGIN_THROTTLE_DELAY: '400ms',
      DBBOUNCER_LOGIN_THROTTLE_DELAY_MAX: '400ms',
    },
  });
});
after(async () => {
  await proxy.stop();
  await cluster.remove();
});

const at = (localAddress: string) => ({ host: proxy.host, port: proxy.port, localAddress });
const logIn = (from: string, database = 'acme', password = PASSWORD) =>
  RawClient.login(at(from), { user: 'postgres', password, database });

/** How long a login takes that must succeed. */
async function loginMs(from: string, database?: string): Promise<number> {
  const begun = performance.now();
  const client = await logIn(from, database);
  client.end();
  return performance.now() - begun;
}

async function failures(from: string, times: number, database?: string): Promise<void> {
  for (let i = 0; i < times; i++) {
    await assert.rejects(logIn(from, database, 'wrong'), /28P01/);
  }
}

describe('after 3 failed logins', () => {
  it('the next one of the address waits and is then let in; others do not wait', async () => {
    await logIn('127.0.0.9').then((client) => client.end());
    await failures('127.0.0.2', 4);
    const [slow, other] = await Promise.all([loginMs('127.0.0.2'), loginMs('127.0.0.3')]);
    assert.ok(slow >= 400, `${slow} ms`);
    assert.ok(other < 400, `${other} ms`);
  });

  it('an address known to a tenant waits only for its own failures there', async () => {
    await logIn('127.0.0.4', 'globex').then((client) => client.end());
    await failures('127.0.0.4', 4, 'acme');
    assert.ok((await loginMs('127.0.0.4', 'globex')) < 400);
    assert.ok((await loginMs('127.0.0.4', 'acme')) >= 400);
    const page = await (await fetch(proxy.metricsUrl)).text();
    assert.match(page, /dbbouncer_logins_delayed_total\{reason="address"\} 2/);
  });

  it('20 wait at once; the 21st reads 53300 and when to come again', async () => {
    await failures('127.0.0.5', 4);
    const attempts = await Promise.allSettled(
      Array.from({ length: 25 }, () => logIn('127.0.0.5', 'acme', 'wrong')),
    );
    const reasons = attempts.map((attempt) =>
      attempt.status === 'rejected' ? (attempt.reason as Error).message.slice(0, 5) : 'let in',
    );
    assert.deepEqual(
      [
        reasons.filter((text) => text === '28P01').length,
        reasons.filter((t) => t === '53300').length,
      ],
      [20, 5],
    );
    await proxy.atRest();
  });
});

describe('cancel keys that nobody has', () => {
  const cancel = async (from: string, key: ReturnType<RawClient['key']>) => {
    const canceller = await RawClient.connect(at(from));
    canceller.cancel(key);
    await canceller.closed();
  };

  it("close an address's requests off after 30, and nobody else's", async () => {
    const client = await logIn('127.0.0.6');
    for (let i = 0; i < 31; i++) {
      await cancel('127.0.0.7', { processId: i + 1, secretKey: Buffer.alloc(4) });
    }
    client.send(query('SELECT pg_sleep(61)'));
    await untilRunning(cluster, 'pg_sleep(61)');
    await cancel('127.0.0.7', client.key());
    const page = await (await fetch(proxy.metricsUrl)).text();
    assert.match(page, /dbbouncer_cancel_requests_total\{outcome="throttled"\} 1/);
    await cancel('127.0.0.8', client.key());
    const told = (await client.until('Z')).filter(({ type }) => type === 'E');
    assert.deepEqual(
      told.map((message) => fields(message)['C']),
      ['57014'],
    );
    client.end();
    await proxy.atRest();
  });
});
