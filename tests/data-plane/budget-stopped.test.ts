/**
 * A proxy that is stopped (SIGSTOP) in the middle of a dial, and goes on when its lease is over:
 * what it had is somebody else's by then, so it must not finish what it began.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { LEASE_MS } from '../support/granted-proxy-main.ts';
import { cstring, frame, query, RawClient } from '../support/raw-client.ts';

const MAIN = new URL('../support/granted-proxy-main.ts', import.meta.url);
const SSL_REQUEST = 80_877_103;
const MD5 = Buffer.from([0, 0, 0, 5, 1, 2, 3, 4]);
const READY = frame('Z', Buffer.from('I'));

/** What a dial waits for when its process is stopped. */
type Step = 'tls' | 'startup' | 'password';

let server: Server;
let proxy: ChildProcess;
let proxyPort: number;
/** What the proxy has sent, in order: packets before the login by name, then types of messages. */
let heard: string[];
let stopAt: Step;
let closed: Promise<unknown>;

beforeEach(async () => {
  heard = [];
  const over = Promise.withResolvers<void>();
  closed = over.promise;
  server = createServer((socket) => {
    socket.on('data', (data) => void answer(socket, data));
    socket.on('error', () => {});
    socket.once('close', () => over.resolve());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  proxy = fork(MAIN, [String(port)]);
  const [told] = (await once(proxy, 'message')) as [{ readonly port: number }];
  proxyPort = told.port;
});
afterEach(async () => {
  proxy.kill('SIGKILL');
  server.close();
  await once(proxy, 'exit');
});

async function answer(socket: Socket, data: Buffer): Promise<void> {
  const isPacket = heard.length < 2;
  const isTls = isPacket && data.readInt32BE(4) === SSL_REQUEST;
  const name = isTls ? 'tls' : isPacket ? 'startup' : String.fromCharCode(data[0] ?? 0);
  heard.push(name);
  const step = name === 'p' ? 'password' : name;
  if (step === stopAt) await stopped(() => socket.write(replyTo(name)));
  else socket.write(replyTo(name));
}

function replyTo(name: string): Buffer {
  if (name === 'tls') return Buffer.from('N');
  if (name === 'startup') return frame('R', MD5);
  if (name === 'p') return Buffer.concat([frame('R', Buffer.alloc(4)), READY]);
  return Buffer.concat([frame('E', Buffer.concat([cstring('C42501'), Buffer.alloc(1)])), READY]);
}

/** The reply is there when the process goes on, and its timers are late. */
async function stopped(reply: () => void): Promise<void> {
  proxy.kill('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, LEASE_MS + 200));
  reply();
  await new Promise((resolve) => setTimeout(resolve, 50));
  proxy.kill('SIGCONT');
}

describe('a proxy whose lease is over when it goes on', () => {
  const CASES = [
    ['sends no startup packet', 'tls', ['tls']],
    ['does not answer to the authentication', 'startup', ['tls', 'startup']],
  ] as const;
  for (const [what, step, whole] of CASES) {
    it(what, async () => {
      stopAt = step;
      proxy.send('grant');
      const client = await RawClient.connect({ host: '127.0.0.1', port: proxyPort });
      const login = client.authenticate({ user: 'app', password: 'secret', database: 'acme' });
      login.catch(() => {});
      await closed;
      assert.deepEqual(heard, whole);
      client.destroy();
    });
  }

  it('hands out no connection that was opened meanwhile, and closes it', async () => {
    stopAt = 'password';
    proxy.send('grant');
    const client = await RawClient.connect({ host: '127.0.0.1', port: proxyPort });
    const login = client.authenticate({ user: 'app', password: 'secret', database: 'acme' });
    login.then(() => client.send(query('SELECT 42'))).catch(() => {});
    await closed;
    // A question about its limits is all that the server hears before it is left.
    assert.deepEqual(heard.filter((name) => name !== 'Q').at(-1), 'X');
    assert.ok(heard.filter((name) => name === 'Q').length <= 1);
    client.destroy();
  });
});
