/**
 * One listening TCP port.
 * Owns: the port, the end of accepting.
 * Leaves: sockets to doorway.ts.
 */
import type { AddressInfo, Server } from 'node:net';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { acceptingServer, startListening } from './accepting-server.ts';
import type { AcceptOptions } from './accepting-server.ts';

export interface TcpListenOptions extends AcceptOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** What to change when the port is taken, as an operator knows it. */
  readonly portSetting: string;
}

export class TcpListener {
  readonly #server: Server;
  readonly port: number;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** @throws AppError SETTINGS_INVALID when the port cannot be had */
  static async listen(options: TcpListenOptions): Promise<TcpListener> {
    const { host, port } = options;
    const server = acceptingServer(options);
    try {
      await startListening(server, { host, port }, options);
    } catch (error) {
      throw cannotListen(options, error as NodeJS.ErrnoException);
    }
    return new TcpListener(server);
  }

  /** Accepts nobody any more; sockets accepted before live on. */
  stop(): void {
    this.#server.close();
  }
}

function cannotListen(options: TcpListenOptions, error: NodeJS.ErrnoException): Error {
  const { host, port, portSetting } = options;
  const why = error.code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on: ${error.message}`;
  return sharedErrors.fail('SETTINGS_INVALID', `port ${port} on ${host} ${why}`, {
    hint: `Stop what uses it, or choose another with ${portSetting}.`,
    cause: error,
  });
}
