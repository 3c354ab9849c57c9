/** The end of a listening socket, with clients in its queue. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { it } from 'node:test';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { acceptingServer, startListening, stopAccepting } from './accepting-server.ts';

it('accepts the 40 clients that wait in the queue before the socket closes', async () => {
  let accepted = 0;
  const accept = { keepaliveIdleMs: 0, backlog: 100, log: silentLogger };
  const welcome = (socket: Socket): void => {
    accepted += 1;
    socket.end();
  };
  const server = acceptingServer({ ...accept, accept: welcome });
  await startListening(server, { host: '127.0.0.1', port: 0 }, { ...accept, accept: welcome });
  const { port } = server.address() as AddressInfo;
  const errors: Error[] = [];
  const clients = Array.from({ length: 40 }, () =>
    connect(port, '127.0.0.1').on('error', (error) => errors.push(error)),
  );
  const closed = clients.map((client) => once(client.resume(), 'close'));
  await Promise.all(clients.map((client) => once(client, 'connect')));
  const before = accepted;
  await stopAccepting(server, 'served');
  await Promise.all(closed);
  assert.ok(before < 40, 'some waited still');
  assert.deepEqual({ accepted, errors }, { accepted: 40, errors: [] });
});
