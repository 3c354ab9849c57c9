/**
 * An address that becomes another server's from one moment to the next, as in a failover: who asks
 * next is served by the new one, and no server connection to the old one is used again.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { eventually } from '../support/eventually.ts';
import { firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'moved secret';
const HOST = '127.0.0.1';
let old: PostgresCluster;
let promoted: PostgresCluster;
let proxy: TestProxy;

/** Where clients find a server, whichever that is. */
interface Address {
  readonly port: number;
  /** As when the machine is switched off. */
  close(): Promise<void>;
}

async function serveAt(port: number, cluster: PostgresCluster): Promise<Address> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = connect({ host: HOST, port: cluster.port });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  server.listen({ host: HOST, port });
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

before(async () => {
  [old, promoted] = await Promise.all([
    startPostgresCluster({ superuserPassword: PASSWORD }),
    startPostgresCluster({ superuserPassword: PASSWORD }),
  ]);
  proxy = await TestProxy.start({ tenants: [] });
});
after(async () => {
  await proxy.stop();
  await Promise.all([old.stop(), promoted.stop()]);
});

const connectClient = () =>
  RawClient.login(proxy, { user: 'postgres', password: PASSWORD, database: 'acme' });

/** Which server answers; undefined where the client reads an error. */
async function portOf(client: RawClient): Promise<string | undefined> {
  client.send(query(`SELECT current_setting('port')`));
  return firstColumns(await client.until('Z'))[0];
}

describe('a database server whose address becomes another one’s', () => {
  it('serves there who asks next, and clients from before the move', async () => {
    const before = await serveAt(0, old);
    await proxy.setTenant({
      id: 'acme',
      port: before.port,
      database: 'postgres',
      username: 'postgres',
      password: PASSWORD,
      pool: { poolMode: 'transaction', minConnections: 2, serverLoginRetryMs: 200 },
    });
    const waits = await connectClient();
    assert.equal(await portOf(waits), String(old.port));

    await before.close();
    const now = await serveAt(before.port, promoted);
    const served = async () => {
      const client = await connectClient().catch(() => undefined);
      const port = client && (await portOf(client));
      client?.end();
      return port;
    };
    assert.equal(await eventually('somebody is served again', served), String(promoted.port));
    for (let i = 0; i < 20; i++) assert.equal(await served(), String(promoted.port));
    // A client that was there before the move, between two transactions, has noticed nothing.
    assert.equal(await portOf(waits), String(promoted.port));
    waits.end();
    await proxy.atRest();
    await now.close();
  });
});
