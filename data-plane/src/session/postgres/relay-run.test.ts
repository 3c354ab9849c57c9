/** When the server is to wait for the client. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { relayRun } from './relay-run.ts';

/** More than the kernel holds for one connection. */
const MORE_THAN_KERNEL_BYTES = 64 * 1_024 * 1_024;

describe('relayRun', () => {
  let server: Server;
  let toClient: Socket;
  let client: Socket;
  let lent: number;
  const from = { lendRun: () => void (lent += 1) };

  beforeEach(async () => {
    lent = 0;
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    client = connect((server.address() as AddressInfo).port, '127.0.0.1').pause();
    [toClient] = (await once(server, 'connection')) as [Socket];
  });
  afterEach(() => {
    client.destroy();
    toClient.destroy();
    server.close();
  });

  it('does not wait for a client whose kernel has taken all, however large the run was', () => {
    const run = Buffer.alloc(2 * toClient.writableHighWaterMark);
    assert.equal(relayRun(run, from, toClient), true);
    assert.equal(lent, 0);
  });

  it('waits for one that has more in line than it should, until that is sent', async () => {
    assert.equal(relayRun(Buffer.alloc(MORE_THAN_KERNEL_BYTES), from, toClient), false);
    assert.equal(relayRun(Buffer.alloc(10), from, toClient), false);
    assert.equal(lent, 1, 'what is small was copied');
    client.on('data', () => {}).resume();
    await once(toClient, 'drain');
    assert.equal(relayRun(Buffer.alloc(10), from, toClient), true);
  });
});
