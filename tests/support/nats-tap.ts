/**
 * Hears every message on every subject of a nats-server, JetStream's own included, as the bytes
 * they travel in. Speaks just enough of the protocol to do so, and shares nothing with the bus.
 * Source: NATS client protocol (CONNECT, SUB, PING, PONG).
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';

export class NatsTap {
  readonly #socket: Socket;
  readonly #chunks: Buffer[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      if (chunk.includes('PING\r\n')) socket.write('PONG\r\n');
    });
  }

  /** Resolves when it hears everything that is sent from now on. */
  static async open(port: number): Promise<NatsTap> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const tap = new NatsTap(socket);
    socket.write('CONNECT {"verbose":false,"pedantic":false}\r\nSUB > 1\r\nPING\r\n');
    while (!tap.heard.includes('PONG\r\n')) await once(socket, 'data');
    return tap;
  }

  /** Everything so far. */
  get heard(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  close(): void {
    this.#socket.destroy();
  }
}
