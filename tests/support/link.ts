/**
 * The network between a process and servers it talks to, as relays that a test can cut or slow
 * down. Cut, it is silent as a network is: connections stay, new ones are accepted, and nothing
 * comes through until it is whole again.
 * Owns: what passes, when. Bytes are passed on whole and in order.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

const HOST = '127.0.0.1';

export class Link {
  /** Where to connect instead, one for each server. */
  readonly ports: readonly number[];
  readonly #servers: readonly Server[];
  readonly #open: ReadonlySet<Socket>;
  #state: 'whole' | 'cut' = 'whole';
  #mended = Promise.withResolvers<void>();
  #delayMs = 0;

  private constructor(servers: readonly Server[], open: Set<Socket>) {
    this.#servers = servers;
    this.#open = open;
    this.ports = servers.map((server) => (server.address() as AddressInfo).port);
  }

  static async to(serverPorts: readonly number[]): Promise<Link> {
    const open = new Set<Socket>();
    const begun = Promise.withResolvers<Link>();
    const servers = await Promise.all(
      serverPorts.map(async (port) => {
        const server = createServer((client) => {
          void begun.promise.then((link) => link.#serve(client, port, open));
        });
        server.listen(0, HOST);
        await once(server, 'listening');
        return server;
      }),
    );
    const link = new Link(servers, open);
    begun.resolve(link);
    return link;
  }

  /** From now on nothing passes. */
  cut(): void {
    if (this.#state === 'cut') return;
    this.#state = 'cut';
    this.#mended = Promise.withResolvers<void>();
  }

  /** What was held passes now, unless its connection has been given up. */
  mend(): void {
    this.#state = 'whole';
    this.#delayMs = 0;
    this.#mended.resolve();
  }

  /** What comes from now on takes so much longer, each way. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#open) socket.destroy();
  }

  #serve(client: Socket, port: number, open: Set<Socket>): void {
    const server = connect({ host: HOST, port, noDelay: true });
    for (const socket of [client, server]) {
      open.add(socket);
      socket.once('close', () => open.delete(socket));
      socket.on('error', () => {});
    }
    this.#pass(client, server);
    this.#pass(server, client);
  }

  #pass(from: Socket, to: Socket): void {
    let before: Promise<unknown> = Promise.resolve();
    const inTurn = (then: () => void): void => {
      const due = performance.now() + this.#delayMs;
      before = before.then(() => this.#arrival(due)).then(then);
    };
    from.on('data', (chunk: Buffer) => inTurn(() => to.writable && to.write(chunk)));
    from.on('close', () => inTurn(() => to.destroy()));
  }

  async #arrival(dueMs: number): Promise<void> {
    while (this.#state === 'cut') await this.#mended.promise;
    const leftMs = dueMs - performance.now();
    if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
  }
}
