/**
 * Sockets that are bound and accept nobody: a supervisor holds them, and its workers listen on
 * what they inherit. As long as it holds one, the kernel keeps the queue of clients that nobody
 * has accepted yet, whichever worker ends.
 * Owns: binding, and the end of the hold. Leaves: accepting to tcp-listener.ts and
 * unix-listener.ts in the workers.
 * Source: listen(2) may be called on a socket by each process that has it; the socket is closed
 * with the last descriptor of it.
 */
import { chmodSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { BoundSocket, isIP } from 'node:net';
import { cannotListen } from './tcp-listener.ts';
import type { TcpPlace } from './tcp-listener.ts';
import { cannotHaveFile, requireFreePath, withoutPermissions } from './unix-listener.ts';
import type { UnixPlace } from './unix-listener.ts';

export interface HeldSocket {
  /** To be inherited; not to be closed. */
  readonly fd: number;
  /** 0 of a socket file. */
  readonly port: number;
  /** Who waits in its queue is refused then, unless a worker still listens. */
  close(): void;
}

/** @throws AppError SETTINGS_INVALID when the port cannot be had */
export async function holdTcp(place: TcpPlace): Promise<HeldSocket> {
  const { host, port, sharing } = place;
  try {
    const address = isIP(host) === 0 ? (await lookup(host)).address : host;
    const bound = new BoundSocket({ host: address, port, reusePort: sharing === 'shared' });
    return { fd: bound.fd(), port: bound.address().port, close: () => bound.close() };
  } catch (error) {
    throw cannotListen(place, error as NodeJS.ErrnoException);
  }
}

/** Makes the file, too. @throws AppError SETTINGS_INVALID when there can be none at this path */
export async function holdUnix(place: UnixPlace): Promise<HeldSocket> {
  const { path, mode } = place;
  await requireFreePath(place);
  try {
    const bound = withoutPermissions(() => new BoundSocket(atPath(path)));
    chmodSync(path, mode);
    // Closing removes the file.
    return { fd: bound.fd(), port: 0, close: () => bound.close() };
  } catch (error) {
    throw cannotHaveFile(path, `cannot be listened on: ${(error as Error).message}`, error);
  }
}

/** Node knows `path` since 24.21, its types do not yet. */
function atPath(path: string): ConstructorParameters<typeof BoundSocket>[0] {
  return { path } as ConstructorParameters<typeof BoundSocket>[0];
}
