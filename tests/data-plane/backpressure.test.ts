/**
 * Slow clients and slow servers: what one side does not take, the proxy does not pile up.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { bytesReceived, externalGrowth, MEGABYTE } from '../support/memory.ts';
import { copyData, copyDone, firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'slow secret';
const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const pool = { poolMode: 'transaction', maxConnections: 2 } as const;
  const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD, pool };
  proxy = await TestProxy.start({ tenants: [{ id: 'acme', database: 'postgres', ...tenant }] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

describe('a client that does not read', () => {
  it('makes the server wait: 300 MB of result cost the proxy less than 20 MB', async () => {
    const client = await RawClient.login(proxy, login);
    client.socket.pause();
    const grown = await externalGrowth(async () => {
      client.send(query(`SELECT repeat('x', 1000000) FROM generate_series(1, 300)`));
      await new Promise((resolve) => setTimeout(resolve, 1_500));
    });
    assert.ok(grown < 20, `${grown.toFixed(0)} MB`);

    const other = await RawClient.login(proxy, login);
    other.send(query('SELECT 1'));
    assert.deepEqual(firstColumns(await other.until('Z')), ['1']);

    await bytesReceived(client.socket, 300_000_000);
    client.end();
    other.end();
    await proxy.atRest();
  });
});

describe('a server that does not read', () => {
  it('makes the client wait: 200 MB of COPY cost the proxy less than 20 MB', async () => {
    await cluster.sql('postgres', 'CREATE TABLE slow_copy (a text)');
    const blocker = await RawClient.login(proxy, login);
    blocker.send(query('BEGIN'));
    await blocker.until('Z');
    blocker.send(query('LOCK TABLE slow_copy'));
    await blocker.until('Z');

    const client = await RawClient.login(proxy, login);
    const line = copyData(`${'y'.repeat(MEGABYTE)}\n`);
    // The server waits for its lock and reads nothing; CopyData is sent all the same.
    client.send(query('COPY slow_copy FROM STDIN'));
    let sent = 0;
    const grown = await externalGrowth(async () => {
      const deadline = Date.now() + 1_500;
      while (sent < 200 && Date.now() < deadline) {
        const taken = client.socket.write(line);
        sent += 1;
        if (!taken) await drainedOr(client, 100);
      }
    });
    // What this process holds as the client is not the proxy's.
    const own = client.socket.writableLength / MEGABYTE;
    assert.ok(grown - own < 20, `${(grown - own).toFixed(0)} MB`);

    blocker.send(query('ROLLBACK'));
    await blocker.until('Z');
    client.send(copyDone());
    const messages = await client.until('Z');
    assert.ok(
      messages.some(({ type }) => type === 'C'),
      'COPY was completed',
    );
    const [row] = await cluster.sql('postgres', 'SELECT count(*)::int AS n FROM slow_copy');
    assert.equal(row?.['n'], sent);
    blocker.end();
    client.end();
    await proxy.atRest();
  });
});

function drainedOr(client: RawClient, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      client.socket.off('drain', done);
      resolve();
    };
    const timer = setTimeout(done, timeoutMs);
    client.socket.on('drain', done);
  });
}
