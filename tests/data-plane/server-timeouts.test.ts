/**
 * Servers that do not answer: how long the proxy waits, and which setting its clients read.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, it } from 'node:test';
import { RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'timeout secret';
const login = { user: 'app', password: PASSWORD, database: 'acme' };

/** A proxy in front of `port`, whose client reads an error after the shortest of these times. */
async function errorBehind(port: number, pool: Readonly<Record<string, number>>): Promise<string> {
  const tenant = { id: 'acme', port, database: 'acme', username: 'app', password: PASSWORD, pool };
  const proxy = await TestProxy.start({ tenants: [tenant] });
  try {
    return await RawClient.login(proxy, login).then(
      () => 'served',
      (error: unknown) => String(error),
    );
  } finally {
    await proxy.stop();
  }
}

describe('server_login_timeout', () => {
  it('ends a login that the server never answers, by its name, after 150 ms', async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const error = await errorBehind(port, { serverLoginTimeoutMs: 150 });
    assert.match(error, /08001: .*the login did not end within server_login_timeout \(150 ms\)/);
    for (const socket of sockets) socket.destroy();
    server.close();
  });
});

describe('server_connect_timeout', () => {
  it('ends a dial that nobody accepts, by its name, after 150 ms', async () => {
    // Once its line of connections is full, the kernel answers no more of them.
    const listening = `const s = require('net').createServer();
      s.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
        require('fs').writeSync(1, String(s.address().port));
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      });`;
    const process_ = spawn(process.execPath, ['-e', listening], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const port = Number(String((await once(process_.stdout, 'data'))[0]));
    const fillers = [1, 2, 3, 4].map(() => connect(port, '127.0.0.1'));
    for (const filler of fillers) filler.on('error', () => {});
    await Promise.all(fillers.slice(0, 2).map((filler) => once(filler, 'connect')));
    const error = await errorBehind(port, { serverConnectTimeoutMs: 150 });
    assert.match(error, /08001: .*no answer within server_connect_timeout \(150 ms\)/);
    for (const filler of fillers) filler.destroy();
    process_.kill('SIGKILL');
  });
});
