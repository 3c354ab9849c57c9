/**
 * Asks a server to cancel what one of its connections runs, over a connection of its own.
 * Source: PostgreSQL manual, "Canceling Requests in Progress": the server never answers, it only
 * closes.
 */
import { connect } from 'node:net';
import { encodeCancelRequest } from '../wire/postgres/startup-message.ts';
import { connectTo } from './endpoint.ts';
import type { PostgresBackend } from './postgres-backend.ts';

/**
 * Resolves when the server has closed the cancel connection, after which its signal is on its way
 * to the backend; also when it could not be reached, or did not close within `limitMs` (the
 * tenant's cancel_wait_timeout): a cancel promises nothing.
 */
export function sendCancel(backend: PostgresBackend, limitMs: number): Promise<void> {
  const { key, address } = backend;
  if (key === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    const socket = connect(connectTo(address));
    socket.setTimeout(limitMs, () => socket.destroy());
    socket.on('connect', () => socket.write(encodeCancelRequest(key)));
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.resume();
  });
}
