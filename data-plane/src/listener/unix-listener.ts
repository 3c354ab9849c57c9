/**
 * One listening socket file. A file that a former process left behind is replaced, one that
 * somebody listens on is not.
 * Owns: the file from start to stop, its permissions.
 * Leaves: its name to whoever speaks the protocol, sockets to doorway.ts.
 * Source: unix(7): connecting needs write permission, a file outlives the socket bound to it.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import type { Server } from 'node:net';
import { dirname } from 'node:path';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { acceptingServer, startListening, stopAccepting } from './accepting-server.ts';
import type { AcceptOptions, Queued } from './accepting-server.ts';

export interface UnixPlace {
  readonly path: string;
  readonly pathBytesMax: number;
  /** Permissions of the file. */
  readonly mode: number;
}

export interface UnixListenOptions extends AcceptOptions, UnixPlace {
  /** A socket of this file that another process holds: held-sockets.ts. The file is its then. */
  readonly inheritedFd?: number | undefined;
}

const NOBODY = 0o777;

export class UnixListener {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws AppError SETTINGS_INVALID when there can be no socket file at this path */
  static async listen(options: UnixListenOptions): Promise<UnixListener> {
    const { path, mode, inheritedFd: fd } = options;
    if (fd === undefined) await requireFreePath(options);
    const server = acceptingServer(options);
    const listening =
      fd === undefined
        ? withoutPermissions(() => startListening(server, { path }, options))
        : startListening(server, { fd }, options);
    try {
      await listening;
      if (fd === undefined) chmodSync(path, mode);
    } catch (error) {
      server.close();
      throw cannotHaveFile(path, `cannot be listened on: ${(error as Error).message}`, error);
    }
    return new UnixListener(server);
  }

  /** Accepts nobody any more and removes the file if it is its own; open sockets live on. */
  stop(queued: Queued = 'served'): Promise<void> {
    return stopAccepting(this.#server, queued);
  }
}

/** Removes what a former process left behind. @throws AppError SETTINGS_INVALID */
export async function requireFreePath({ path, pathBytesMax }: UnixPlace): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > pathBytesMax) {
    throw cannotHaveFile(path, `has ${bytes} bytes; ${pathBytesMax} are allowed`);
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw cannotHaveFile(path, 'is there and is no socket');
  if ((await knock(path)) === 'answered') throw cannotHaveFile(path, 'is in use');
  unlinkSync(path);
}

/** From its first moment on nobody may connect to the file that `make` makes, until chmod. */
export function withoutPermissions<T>(make: () => T): T {
  const umask = process.umask(NOBODY);
  try {
    return make();
  } finally {
    process.umask(umask);
  }
}

/** Whether somebody listens on the file; somebody whom we may not reach does. */
function knock(path: string): Promise<'answered' | 'silent'> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve('answered');
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) =>
      resolve(code === 'ECONNREFUSED' || code === 'ENOENT' ? 'silent' : 'answered'),
    );
  });
}

/** SETTINGS_INVALID, in the words of an operator. */
export function cannotHaveFile(path: string, why: string, cause?: unknown): Error {
  return sharedErrors.fail('SETTINGS_INVALID', `socket file ${path} ${why}`, {
    hint: `Look at ${dirname(path)}, or choose another folder with listen.unix_socket_dir.`,
    cause,
  });
}
