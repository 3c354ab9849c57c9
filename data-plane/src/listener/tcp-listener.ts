/**
 * One listening port: accepts sockets, sets what every client socket needs, and hands them on.
 * Owns: listening, keepalive, the end of accepting.
 * Leaves: everything a client says to its protocol's session code.
 */
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';

const KEEPALIVE_DELAY_MS = 30_000;
const DROPS_PER_LINE = 1_000;
/** Clients that may wait to be accepted; the kernel caps it at net.core.somaxconn. */
const BACKLOG = 4_096;

export interface ListenOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** What to change when the port is taken, as an operator knows it. */
  readonly portSetting: string;
  /** Sockets at once; beyond it they are closed unheard. */
  readonly connectionsMax: number;
  readonly log: Logger;
  /** Takes over the socket; must not throw. */
  readonly serve: (socket: Socket) => void;
}

export class TcpListener {
  readonly #server: Server;
  readonly address: AddressInfo;

  private constructor(server: Server) {
    this.#server = server;
    this.address = server.address() as AddressInfo;
  }

  /** @throws AppError SETTINGS_INVALID when the port cannot be had */
  static listen(options: ListenOptions): Promise<TcpListener> {
    const { host, port, log, serve } = options;
    const server = createServer(
      { noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_DELAY_MS },
      serve,
    );
    server.maxConnections = options.connectionsMax;
    logDrops(server, options);
    return new Promise((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(options, error)));
      server.listen({ host, port, backlog: BACKLOG }, () => {
        server.removeAllListeners('error');
        // Such as too many open files: the listener lives on and accepts again when there is room.
        server.on('error', (error) => log.error({ error }, 'the listener met an error'));
        resolve(new TcpListener(server));
      });
    });
  }

  /** Accepts nobody any more; sockets accepted before live on. */
  stop(): void {
    this.#server.close();
  }
}

/** One line for the first, and for every thousandth: a flood must not fill the log too. */
function logDrops(server: Server, { connectionsMax, log }: ListenOptions): void {
  let dropped = 0;
  server.on('drop', () => {
    dropped += 1;
    if (dropped % DROPS_PER_LINE !== 1) return;
    log.error({ dropped, connectionsMax }, 'connections closed unheard: too many at once');
  });
}

function cannotListen(options: ListenOptions, error: NodeJS.ErrnoException): Error {
  const { host, port, portSetting } = options;
  const why = error.code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on: ${error.message}`;
  return sharedErrors.fail('SETTINGS_INVALID', `port ${port} on ${host} ${why}`, {
    hint: `Stop what uses it, or choose another with ${portSetting}.`,
    cause: error,
  });
}
