/**
 * Asks a server to cancel what one of its connections runs, over a connection of its own.
 * Source: PostgreSQL manual, "Canceling Requests in Progress": the server never answers, it only
 * closes.
 */
import { connect } from 'node:net';
import { encodeCancelRequest } from '../wire/postgres/startup-message.ts';
import type { PostgresBackend } from './postgres-backend.ts';

/** How long the server may take to accept and close the cancel connection. */
const CANCEL_CONNECTION_TIMEOUT_MS = 5_000;

/**
 * Resolves when the server has closed the cancel connection, after which its signal is on its way
 * to the backend; also when it could not be reached: a cancel promises nothing.
 */
export function sendCancel(backend: PostgresBackend): Promise<void> {
  const { key, address } = backend;
  if (key === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    const socket = connect(address.port, address.host);
    socket.setTimeout(CANCEL_CONNECTION_TIMEOUT_MS, () => socket.destroy());
    socket.on('connect', () => socket.write(encodeCancelRequest(key)));
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.resume();
  });
}
