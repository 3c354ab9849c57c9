/**
 * Stands between two sides and passes every byte on, cut into pieces that are read one by one.
 * Owns: where the stream is cut, and that no two pieces come in one read. Leaves: what is said.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';

/** Sizes of the pieces in turn, from the first again behind the last; none: nothing is cut. */
export type Cuts = readonly number[];

const HOST = '127.0.0.1';
/** Of a long chunk only the ends are cut: its middle would take too long, and is like any other. */
const CUT_BYTES_MAX = 250;

export class CuttingRelay {
  readonly host = HOST;
  readonly port: number;
  /** Of what goes to whom; may be changed at any time and counts from the next byte on. */
  toServer: Cuts = [];
  toClient: Cuts = [];
  readonly #close: () => void;

  private constructor(port: number, close: () => void) {
    this.port = port;
    this.#close = close;
  }

  static async start(serverPort: number): Promise<CuttingRelay> {
    const open = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const to = { host: HOST, port: serverPort, allowHalfOpen: true, noDelay: true };
      const upstream = connect(to);
      for (const socket of [client, upstream]) {
        open.add(socket);
        socket.once('close', () => open.delete(socket));
      }
      pass(client, upstream, () => relay.toServer);
      pass(upstream, client, () => relay.toClient);
    });
    server.listen(0, HOST);
    await once(server, 'listening');
    const relay = new CuttingRelay((server.address() as AddressInfo).port, () => {
      server.close();
      for (const socket of open) socket.destroy();
    });
    return relay;
  }

  close(): void {
    this.#close();
  }
}

function pass(from: Socket, to: Socket, cuts: () => Cuts): void {
  const cutter = new Cutter();
  let written = Promise.resolve();
  from.on('data', (chunk: Buffer) => {
    from.pause();
    written = written
      .then(() => writePieces(to, cutter.cut(chunk, cuts())))
      .then(() => void from.resume());
  });
  from.on('end', () => void written.then(() => to.end()));
  from.on('error', () => to.destroy());
  from.on('close', () => {
    if (from.errored !== null) to.destroy();
    else void written.then(() => to.destroySoon());
  });
}

async function writePieces(to: Socket, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    if (!to.writable) return;
    // Whoever reads, in this process too, reads what is there before the next piece is.
    await turn();
    to.write(piece);
  }
}

class Cutter {
  #cuts: Cuts = [];
  #index = 0;
  #left = 0;

  cut(chunk: Buffer, cuts: Cuts): Buffer[] {
    if (cuts !== this.#cuts) {
      this.#cuts = cuts;
      this.#index = -1;
      this.#left = 0;
    }
    if (cuts.length === 0) return [chunk];
    if (chunk.length <= 2 * CUT_BYTES_MAX) return this.#pieces(chunk);
    const end = chunk.length - CUT_BYTES_MAX;
    return [
      ...this.#pieces(chunk.subarray(0, CUT_BYTES_MAX)),
      chunk.subarray(CUT_BYTES_MAX, end),
      ...this.#pieces(chunk.subarray(end)),
    ];
  }

  #pieces(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    for (let at = 0; at < chunk.length;) {
      if (this.#left === 0) {
        this.#index = (this.#index + 1) % this.#cuts.length;
        this.#left = Math.max(1, this.#cuts[this.#index] ?? 1);
      }
      const size = Math.min(this.#left, chunk.length - at);
      pieces.push(chunk.subarray(at, at + size));
      this.#left -= size;
      at += size;
    }
    return pieces;
  }
}
