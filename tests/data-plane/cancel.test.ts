/**
 * Cancel requests: they reach the statement of their own session and nothing else, whatever it is
 * doing.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import type { CancelKey, RawMessage } from '../support/raw-client.ts';
import { holdCancels } from '../support/relays.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { untilRunning } from './running-statements.ts';

const PASSWORD = 'cancel secret';
const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
let cluster: PostgresCluster;
let proxy: TestProxy;

const tenant = (port: number) => ({
  port,
  username: 'postgres',
  password: PASSWORD,
  pool: {
    poolMode: 'transaction',
    maxConnections: 1,
    minConnections: 0,
    // A look at the connection between two clients would hide races.
    leakDetector: 'sample',
  } as const,
});

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const acme = { id: 'acme', database: 'postgres', ...tenant(cluster.port) };
  proxy = await TestProxy.start({ tenants: [acme] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

const connect = () => RawClient.login(proxy, login);
const codes = (messages: readonly RawMessage[]) =>
  messages.filter(({ type }) => type === 'E').map((message) => fields(message)['C']);

async function cancel(key: CancelKey): Promise<void> {
  const canceller = await RawClient.connect(proxy);
  canceller.cancel(key);
  await canceller.closed();
}

describe('a cancel request', () => {
  it('ends the running statement with 57014 and leaves the session usable', async () => {
    const client = await connect();
    client.send(query('SELECT pg_sleep(60)'));
    await untilRunning(cluster, 'pg_sleep(60)');
    await cancel(client.key());
    assert.deepEqual(codes(await client.until('Z')), ['57014']);
    client.send(query('SELECT 1'));
    assert.deepEqual(firstColumns(await client.until('Z')), ['1']);
    client.end();
    await proxy.atRest();
  });

  it('ends the wait of a client in line with 57014, and the client goes on', async () => {
    const holder = await connect();
    holder.send(query('BEGIN; SELECT 1'));
    await holder.until('Z');
    const waiting = await connect();
    waiting.send(query('SELECT 1'));
    await proxy.report(({ pools }) => pools.some((pool) => pool.waiting === 1));
    await cancel(waiting.key());
    assert.deepEqual(codes(await waiting.until('Z')), ['57014']);
    holder.send(query('COMMIT'));
    await holder.until('Z');
    waiting.send(query('SELECT 2'));
    assert.deepEqual(firstColumns(await waiting.until('Z')), ['2']);
    holder.end();
    waiting.end();
    await proxy.atRest();
  });

  it('with a key that nobody has, or a wrong secret, does nothing', async () => {
    const client = await connect();
    client.send(query('SELECT pg_sleep(0.3)'));
    await untilRunning(cluster, 'pg_sleep(0.3)');
    const { processId } = client.key();
    await cancel({ processId, secretKey: Buffer.from([1, 2, 3, 4]) });
    await cancel({ processId: 4711, secretKey: Buffer.from([1, 2, 3, 4]) });
    assert.deepEqual(codes(await client.until('Z')), []);
    client.end();
    await proxy.atRest();
  });

  it('of an idle session does nothing to it, nor to the client on the connection', async () => {
    const idle = await connect();
    idle.send(query('SELECT 1'));
    await idle.until('Z');
    const busy = await connect();
    busy.send(query('SELECT pg_sleep(0.3)'));
    await untilRunning(cluster, 'pg_sleep(0.3)');
    await cancel(idle.key());
    assert.deepEqual(codes(await busy.until('Z')), []);
    idle.end();
    busy.end();
    await proxy.atRest();
  });

  it('never reaches the next client of the same server connection, in 60 races', async () => {
    const [target, other] = [await connect(), await connect()];
    for (let round = 0; round < 60; round++) {
      target.send(query(`SELECT pg_sleep(${(round % 6) * 0.001})`));
      const cancelled = cancel(target.key());
      other.send(query('SELECT pg_sleep(0.002)'));
      const [mine, theirs] = await Promise.all([target.until('Z'), other.until('Z')]);
      assert.ok(['', '57014'].includes(codes(mine).join()), 'the target finished or was cancelled');
      assert.deepEqual(codes(theirs), [], `round ${round} hit the other client`);
      await cancelled;
    }
    target.end();
    other.end();
    await proxy.atRest();
  });

  it("that is late does not reach the session's own next statement, which waits", async (t) => {
    const gate = await holdCancels(cluster.port);
    t.after(() => gate.close());
    await proxy.setTenant({ id: 'slow', database: 'postgres', ...tenant(gate.port) });
    const client = await RawClient.login(proxy, { ...login, database: 'slow' });
    client.send(query('BEGIN; SELECT pg_sleep(0.4)'));
    await untilRunning(cluster, 'pg_sleep(0.4)');
    await cancel(client.key());
    await gate.arrived(1);
    assert.deepEqual(codes(await client.until('Z')), []);
    client.send(query("SELECT 'next', pg_sleep(0.3)"));
    client.send(query('COMMIT'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    gate.open();
    const told = [...(await client.until('Z')), ...(await client.until('Z'))];
    assert.deepEqual([codes(told), firstColumns(told)], [[], ['next']]);
    client.end();
    await proxy.atRest();
  });

  it('shows clients a key of the proxy, not that of the server', async () => {
    const client = await connect();
    client.send(query('SELECT pg_backend_pid()'));
    const [pid] = firstColumns(await client.until('Z'));
    assert.notEqual(Number(pid), client.key().processId);
    assert.ok(client.key().processId > 0);
    client.end();
  });
});
