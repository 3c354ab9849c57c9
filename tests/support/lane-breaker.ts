/**
 * Stands between a proxy and its server, knows the connections that serve shared reads, and breaks
 * them in the midst of their replies.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

const HOST = '127.0.0.1';
/** What only connections of the shared lane are told. */
const MARK = 'default_transaction_read_only';

export class LaneBreaker {
  readonly port: number;
  /** After so many more bytes of the server the connection breaks that brings them. */
  #bytesLeft = Infinity;
  /** Connections that were broken. */
  broken = 0;
  readonly #close: () => void;

  private constructor(port: number, close: () => void) {
    this.port = port;
    this.#close = close;
  }

  static async start(serverPort: number): Promise<LaneBreaker> {
    const open = new Set<Socket>();
    const server = createServer({ noDelay: true }, (client) => {
      const upstream = connect({ host: HOST, port: serverPort, noDelay: true });
      for (const socket of [client, upstream]) {
        open.add(socket);
        socket.on('error', () => {});
        socket.once('close', () => {
          open.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      breaker.#join(client, upstream);
    });
    server.listen(0, HOST);
    await once(server, 'listening');
    const breaker = new LaneBreaker((server.address() as AddressInfo).port, () => {
      server.close();
      for (const socket of open) socket.destroy();
    });
    return breaker;
  }

  #join(client: Socket, upstream: Socket): void {
    let kind: 'clients' | 'lane' = 'clients';
    client.on('data', (chunk: Buffer) => {
      // A reset comes before it serves clients again.
      if (chunk.includes('DISCARD ALL')) kind = 'clients';
      if (chunk.includes(MARK)) kind = 'lane';
      upstream.write(chunk);
    });
    upstream.on('data', (chunk: Buffer) => {
      if (kind === 'clients' || chunk.length <= this.#bytesLeft) {
        if (kind === 'lane') this.#bytesLeft -= chunk.length;
        client.write(chunk);
        return;
      }
      client.end(chunk.subarray(0, this.#bytesLeft));
      upstream.destroy();
      this.#bytesLeft = Infinity;
      this.broken += 1;
    });
  }

  /** Breaks the connection of the lane that brings the byte after `bytes` more. */
  breakAfter(bytes: number): void {
    this.#bytesLeft = bytes;
  }

  close(): void {
    this.#close();
  }
}
