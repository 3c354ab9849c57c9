/**
 * One listening TCP port.
 * Owns: the port, the end of accepting.
 * Leaves: sockets to doorway.ts.
 */
import type { AddressInfo, Server } from 'node:net';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { acceptingServer, startListening, stopAccepting } from './accepting-server.ts';
import type { AcceptOptions, Queued } from './accepting-server.ts';

export interface TcpPlace {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** `shared`: others may listen on the port too, if they say so as well (SO_REUSEPORT). */
  readonly sharing: 'exclusive' | 'shared';
  /** What to change when the port is taken, as an operator knows it. */
  readonly portSetting: string;
}

export interface TcpListenOptions extends AcceptOptions, TcpPlace {
  /** A socket of this place that another process holds: held-sockets.ts. */
  readonly inheritedFd?: number | undefined;
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
    const { host, port, sharing, inheritedFd: fd } = options;
    const server = acceptingServer(options);
    const place = fd === undefined ? { host, port, reusePort: sharing === 'shared' } : { fd };
    try {
      await startListening(server, place, options);
    } catch (error) {
      throw cannotListen(options, error as NodeJS.ErrnoException);
    }
    return new TcpListener(server);
  }

  /** Accepts nobody any more; sockets accepted before live on. */
  stop(queued: Queued = 'served'): Promise<void> {
    return stopAccepting(this.#server, queued);
  }
}

/** SETTINGS_INVALID, in the words of an operator. */
export function cannotListen(place: TcpPlace, error: NodeJS.ErrnoException): Error {
  const { host, port, portSetting } = place;
  const why = error.code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on: ${error.message}`;
  return sharedErrors.fail('SETTINGS_INVALID', `port ${port} on ${host} ${why}`, {
    hint: `Stop what uses it, or choose another with ${portSetting}.`,
    cause: error,
  });
}
