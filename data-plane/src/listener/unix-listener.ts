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
import { acceptingServer, startListening } from './accepting-server.ts';
import type { AcceptOptions } from './accepting-server.ts';

export interface UnixListenOptions extends AcceptOptions {
  readonly path: string;
  readonly pathBytesMax: number;
  /** Permissions of the file. */
  readonly mode: number;
}

const NOBODY = 0o777;

export class UnixListener {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws AppError SETTINGS_INVALID when there can be no socket file at this path */
  static async listen(options: UnixListenOptions): Promise<UnixListener> {
    const { path, pathBytesMax, mode } = options;
    const bytes = Buffer.byteLength(path);
    if (bytes > pathBytesMax) {
      throw refused(path, `has ${bytes} bytes; ${pathBytesMax} are allowed`);
    }
    await removeLeftover(path);
    const server = acceptingServer(options);
    // From its first moment on nobody may connect whom the mode keeps out.
    const umask = process.umask(NOBODY);
    const listening = startListening(server, { path }, options);
    process.umask(umask);
    try {
      await listening;
      chmodSync(path, mode);
    } catch (error) {
      server.close();
      throw refused(path, `cannot be listened on: ${(error as Error).message}`, error);
    }
    return new UnixListener(server);
  }

  /** Accepts nobody any more and removes the file; sockets accepted before live on. */
  stop(): void {
    this.#server.close();
  }
}

async function removeLeftover(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw refused(path, 'is there and is no socket');
  if ((await knock(path)) === 'answered') throw refused(path, 'is in use');
  unlinkSync(path);
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

function refused(path: string, why: string, cause?: unknown): Error {
  return sharedErrors.fail('SETTINGS_INVALID', `socket file ${path} ${why}`, {
    hint: `Look at ${dirname(path)}, or choose another folder with listen.unix_socket_dir.`,
    cause,
  });
}
