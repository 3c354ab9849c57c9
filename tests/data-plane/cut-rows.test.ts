/**
 * Sessions that end while a row is on its way: what the client gets is a beginning of what the
 * server sent, and nothing of the proxy's in the midst of it.
 */
import assert from 'node:assert/strict';
import { connect as connectSocket, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { untilAtRest } from '../support/proxy-metrics.ts';
import { query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'cut secret';
const ROW_BYTES = 20_000_000;
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  proxy = await TestProxy.start({ tenants: [] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

/** A client that has asked for one row of 20 MB, and everything it gets from then on. */
async function asking(port: number): Promise<{ client: RawClient; got: Buffer[] }> {
  const pool = { poolMode: 'transaction', minConnections: 0 } as const;
  const login = { port, username: 'postgres', password: PASSWORD, database: 'postgres' };
  await proxy.setTenant({ id: 'acme', ...login, pool });
  const client = await RawClient.login(proxy, {
    user: 'postgres',
    password: PASSWORD,
    database: 'acme',
  });
  const got: Buffer[] = [];
  client.socket.on('data', (chunk: Buffer) => got.push(chunk));
  client.send(query(`SELECT repeat('x', ${ROW_BYTES})`));
  return { client, got };
}

/** The client has got some of the row, all of it `x`, and then the end. */
function assertCut(got: readonly Buffer[]): void {
  const all = Buffer.concat(got);
  const row = all.indexOf('D', all.readInt32BE(1) + 1);
  const rowHeadBytes = 1 + 4 + 2 + 4;
  const values = all.subarray(row + rowHeadBytes);
  assert.ok(values.length > 0 && values.length < ROW_BYTES, `${values.length} bytes`);
  assert.equal(
    values.findIndex((byte) => byte !== 0x78),
    -1,
    'the row is the server’s own',
  );
}

describe('a row that is on its way', () => {
  it('is cut off, and not filled up with an error, when the client is killed', async () => {
    const { client, got } = await asking(cluster.port);
    await once(client.socket, 'data');
    client.socket.pause();
    await proxy.operate('acme', 'kill');
    client.socket.resume();
    await client.closed();
    assertCut(got);
    await untilAtRest(proxy);
  });

  it('is cut off, and not filled up with an error, when the server is lost', async () => {
    let passed = 0;
    const relay = createServer((socket) => {
      const server = connectSocket(cluster.port, '127.0.0.1');
      socket.pipe(server);
      server.on('data', (chunk: Buffer) => {
        passed += chunk.length;
        socket.write(chunk);
        if (passed > 1_000_000) socket.end();
      });
      for (const each of [socket, server]) each.on('error', () => {});
      socket.on('close', () => server.destroy());
    });
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    relay.unref();
    const { client, got } = await asking((relay.address() as AddressInfo).port);
    await client.closed();
    assertCut(got);
    await untilAtRest(proxy);
  });
});
