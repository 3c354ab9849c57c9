/**
 * What every listening port of clients is made of, whether of TCP or a socket file.
 * Owns: what each accepted socket is given, starting to listen, errors while listening.
 */
import { createServer } from 'node:net';
import type { ListenOptions, Server, Socket } from 'node:net';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';

export interface AcceptOptions {
  /** Silence after which the kernel probes whether a client is still there; 0: never. */
  readonly keepaliveIdleMs: number;
  /** Clients that may wait to be accepted; the kernel caps it at net.core.somaxconn. */
  readonly backlog: number;
  readonly log: Logger;
  /** Takes over the socket; must not throw. */
  readonly accept: (socket: Socket) => void;
}

export function acceptingServer({ keepaliveIdleMs, accept }: AcceptOptions): Server {
  return createServer(
    { noDelay: true, keepAlive: keepaliveIdleMs > 0, keepAliveInitialDelay: keepaliveIdleMs },
    accept,
  );
}

/** Resolves once clients can connect. @throws Error with the code of the system */
export function startListening(
  server: Server,
  where: Pick<ListenOptions, 'host' | 'port' | 'path' | 'reusePort'> | { readonly fd: number },
  { backlog, log }: AcceptOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...where, backlog }, () => {
      server.off('error', reject);
      // Such as too many open files: the listener lives on and accepts again when there is room.
      server.on('error', (error) => log.error({ error }, 'a listener met an error'));
      resolve();
    });
  });
}

/**
 * Who waits in the queue of the socket when it is to close: `served` yet, or `left` to other
 * processes that listen on it.
 */
export type Queued = 'served' | 'left';

/** Turns of the event loop, each of which accepts one: where more keep coming, that is the end. */
const LAST_ACCEPTS_MAX = 512;
/** Turns without a newcomer after which the queue counts as empty. */
const EMPTY_TURNS = 2;

/**
 * Closes the socket. The kernel resets whoever is in its queue then; so those are accepted first,
 * to be told in words.
 */
export async function stopAccepting(server: Server, queued: Queued): Promise<void> {
  let emptyTurns = queued === 'left' ? EMPTY_TURNS : 0;
  const newcomer = (): void => void (emptyTurns = 0);
  server.on('connection', newcomer);
  for (let turn = 0; turn < LAST_ACCEPTS_MAX && emptyTurns < EMPTY_TURNS; turn += 1) {
    emptyTurns += 1;
    await new Promise((resolve) => void setImmediate(resolve));
  }
  server.off('connection', newcomer);
  server.close();
}
