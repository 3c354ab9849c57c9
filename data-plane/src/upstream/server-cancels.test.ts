/** Cancel connections to a server that counts them and closes when it is told. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { eventually } from '../../../tests/support/eventually.ts';
import type { PostgresBackend } from './postgres-backend.ts';
import { ServerCancels } from './server-cancels.ts';

let server: Server;
let open: Socket[] = [];
let seen = 0;

before(async () => {
  server = createServer((socket) => {
    seen += 1;
    open.push(socket);
    socket.on('error', () => {}).resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(() => {
  for (const socket of open) socket.destroy();
  open = [];
  seen = 0;
});
after(() => server.close());

/** As much of a server connection as a cancel needs. */
function backend(): PostgresBackend {
  const { port } = server.address() as AddressInfo;
  const key = { processId: 1, secretKey: Buffer.alloc(4) };
  return { key, address: { host: '127.0.0.1', port } } as unknown as PostgresBackend;
}
const options = (tenantKey: string, limitMs = 5_000) => ({
  tenantKey,
  limitMs,
  isWanted: () => true,
});
const closeOne = () => open.shift()?.end();

describe('ServerCancels', () => {
  it('aims one connection at a backend, and one more for any number of cancels', async () => {
    const cancels = new ServerCancels(systemClock);
    const busy = backend();
    const sent = Array.from({ length: 50 }, () => cancels.send(busy, options('acme')));
    await eventually('the first arrives', () => open.length === 1);
    assert.deepEqual(cancels.counts, { waiting: 1, running: 1 });
    closeOne();
    await eventually('the second arrives', () => open.length === 1);
    closeOne();
    await Promise.all(sent);
    assert.equal(seen, 2);
    assert.deepEqual(cancels.counts, { waiting: 0, running: 0 });
  });

  it('sends the one that waits for whoever still wants it, not for the first alone', async () => {
    const cancels = new ServerCancels(systemClock);
    const busy = backend();
    const running = cancels.send(busy, options('acme'));
    await eventually('the first arrives', () => open.length === 1);
    const over = cancels.send(busy, { ...options('acme'), isWanted: () => false });
    const wanted = cancels.send(busy, options('acme'));
    closeOne();
    await running;
    await eventually('the one that is wanted arrives', () => seen === 2, { withinMs: 2_000 });
    closeOne();
    await Promise.all([over, wanted]);
  });

  it('opens 10 connections for a tenant and 100 in all, and serves the rest in turn', async () => {
    const cancels = new ServerCancels(systemClock);
    const sent = Array.from({ length: 15 }, () => cancels.send(backend(), options('acme')));
    await eventually('10 arrive', () => open.length === 10);
    assert.deepEqual(cancels.counts, { waiting: 5, running: 10 });
    for (let tenant = 0; tenant < 20; tenant++) {
      for (let i = 0; i < 5; i++) sent.push(cancels.send(backend(), options(`t${tenant}`)));
    }
    await eventually('100 arrive', () => open.length === 100);
    assert.deepEqual(cancels.counts, { waiting: 15, running: 100 });
    const over = Promise.all(sent);
    await eventually('all are served', () => {
      closeOne();
      return seen === 115;
    });
    while (open.length > 0) closeOne();
    await over;
  });

  it('gives up a cancel that waited as long as the server may take to close', async () => {
    const cancels = new ServerCancels(systemClock);
    const first = Array.from({ length: 10 }, () => cancels.send(backend(), options('acme')));
    await cancels.send(backend(), options('acme', 50));
    assert.deepEqual(cancels.counts, { waiting: 0, running: 10 });
    await eventually('10 arrive', () => open.length === 10);
    while (open.length > 0) closeOne();
    await Promise.all(first);
    assert.equal(seen, 10);
  });

  it('opens none when there is nothing to cancel any more', async () => {
    const cancels = new ServerCancels(systemClock);
    await cancels.send(backend(), { ...options('acme'), isWanted: () => false });
    assert.equal(seen, 0);
  });
});
