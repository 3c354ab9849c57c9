/**
 * Stands between the proxy and a database server and tampers with the BEGIN that the proxy puts in
 * front of a statement: stops within it while the server is sent a cancel, or puts something in its
 * place.
 * Owns: finding that BEGIN, and the server's cancel key. Leaves: what follows to the tests.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { parse } from '../support/raw-client.ts';

/** Parse, Bind and Execute, as long as the proxy sends them. */
export const INJECTED_BYTES = 39;
const PARSE = parse('BEGIN');

/** What is done to the next BEGIN; a cancel comes when the server has `at` bytes of it. */
export type Tampering =
  | { readonly kind: 'cancel'; readonly at: number }
  | { readonly kind: 'replace'; readonly by: Buffer }
  | { readonly kind: 'hold'; readonly until: Promise<void> };

const HOST = '127.0.0.1';
const KEY_HEAD = Buffer.from([0x4b, 0, 0, 0, 12]);

export class BeginRelay {
  readonly port: number;
  /** For the next BEGIN alone. */
  next: Tampering | undefined;
  /** BEGINs that have come, tampered with or not. */
  seen = 0;
  readonly #close: () => void;

  private constructor(port: number, close: () => void) {
    this.port = port;
    this.#close = close;
  }

  static async start(serverPort: number): Promise<BeginRelay> {
    const open = new Set<Socket>();
    const server = createServer({ noDelay: true }, (proxy) => {
      const upstream = connect({ host: HOST, port: serverPort, noDelay: true });
      for (const socket of [proxy, upstream]) {
        open.add(socket);
        socket.on('error', () => {});
      }
      proxy.on('close', () => upstream.destroy());
      upstream.on('close', () => proxy.destroy());
      let key = Buffer.alloc(0);
      upstream.on('data', (chunk: Buffer) => {
        const at = chunk.indexOf(KEY_HEAD);
        if (key.length === 0 && at >= 0) key = Buffer.from(chunk.subarray(at + 5, at + 13));
        proxy.write(chunk);
      });
      let passed = Promise.resolve();
      proxy.on('data', (chunk: Buffer) => {
        passed = passed.then(() => relay.#pass(chunk, upstream, () => cancel(serverPort, key)));
      });
    });
    server.listen(0, HOST);
    await once(server, 'listening');
    const relay = new BeginRelay((server.address() as AddressInfo).port, () => {
      server.close();
      for (const socket of open) socket.destroy();
    });
    return relay;
  }

  async #pass(chunk: Buffer, server: Socket, cancelled: () => Promise<void>): Promise<void> {
    const at = chunk.indexOf(PARSE);
    const { next } = this;
    if (at >= 0) this.seen += 1;
    if (at < 0 || next === undefined) return void server.write(chunk);
    this.next = undefined;
    const behind = chunk.subarray(at + INJECTED_BYTES);
    assert.equal(lastOf(chunk, at), at + INJECTED_BYTES, 'a BEGIN in three messages');
    switch (next.kind) {
      case 'cancel':
        server.write(chunk.subarray(0, at + next.at));
        await cancelled();
        server.write(chunk.subarray(at + next.at));
        break;
      case 'replace':
        server.write(Buffer.concat([chunk.subarray(0, at), next.by, behind]));
        break;
      case 'hold':
        await next.until;
        server.write(chunk);
        break;
    }
  }

  close(): void {
    this.#close();
  }
}

/** Where the third message from `at` on ends. */
function lastOf(chunk: Buffer, at: number): number {
  let end = at;
  for (let i = 0; i < 3; i++) end += 1 + chunk.readInt32BE(end + 1);
  return end;
}

/** Resolves when the server has sent the signal. */
async function cancel(port: number, key: Buffer): Promise<void> {
  const socket = connect({ host: HOST, port });
  socket.on('error', () => {});
  const head = Buffer.alloc(8);
  head.writeInt32BE(16, 0);
  head.writeInt32BE(80877102, 4);
  socket.write(Buffer.concat([head, key]));
  socket.resume();
  await once(socket, 'close');
}
