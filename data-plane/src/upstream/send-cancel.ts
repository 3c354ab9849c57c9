/**
 * Asks a server to cancel what one of its connections runs, over a connection of its own.
 * Source: PostgreSQL manual, "Canceling Requests in Progress": the server never answers, it only
 * closes.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { encodeCancelRequest } from '../wire/postgres/startup-message.ts';
import { connectTo } from './endpoint.ts';
import type { PostgresBackend } from './postgres-backend.ts';
import { negotiate } from './server-socket.ts';
import type { ServerTls } from './server-tls.ts';

/**
 * Resolves when the server has closed the cancel connection, after which its signal is on its way
 * to the backend; also when it could not be reached, or did not close within `limitMs` (the
 * tenant's cancel_wait_timeout): a cancel promises nothing.
 */
export function sendCancel(backend: PostgresBackend, limitMs: number): Promise<void> {
  const { key, address, tls } = backend;
  if (key === undefined) return Promise.resolve();
  const request = encodeCancelRequest(key);
  return new Promise((resolve) => {
    const socket = connect(connectTo(address));
    socket.setTimeout(limitMs, () => socket.destroy());
    socket.on('connect', () => {
      if (tls === undefined) socket.resume().write(request);
      else void writeEncrypted(socket, tls, request);
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve());
  });
}

/** The key of an encrypted connection is not shown in clear. */
async function writeEncrypted(socket: Socket, tls: ServerTls, request: Buffer): Promise<void> {
  try {
    const secure = await negotiate(socket, tls, 'demanded');
    secure.on('error', () => {});
    secure.resume().write(request);
  } catch {
    // Nothing was cancelled, which nobody was promised; the socket is closed.
  }
}
