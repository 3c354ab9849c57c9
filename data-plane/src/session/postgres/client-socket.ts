/**
 * What the socket of a logged-in client tells its session, and how it is closed. The listeners are
 * the same few functions for all clients: closures of its own would cost each half a kilobyte.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** How long a client that was told its end may keep its socket open. */
const CLOSE_TIMEOUT_MS = 5_000;

/** Whose socket it is. */
export interface SocketOwner {
  received(chunk: Buffer): void;
  /** What was written beyond the socket's limit has been taken. */
  drained(): void;
  /** Ended, failed or closed, or all of these in turn. */
  left(): void;
}

const OWNER = Symbol('owner');

interface OwnedSocket extends Socket {
  [OWNER]?: SocketOwner;
}

/** From here on `owner` hears of the socket, until it is closed. */
export function listenTo(socket: OwnedSocket, owner: SocketOwner): void {
  socket[OWNER] = owner;
  socket.on('data', received);
  socket.on('drain', drained);
  socket.on('end', left);
  socket.on('error', left);
  socket.on('close', left);
}

function received(this: OwnedSocket, chunk: Buffer): void {
  this[OWNER]?.received(chunk);
}

function drained(this: OwnedSocket): void {
  this[OWNER]?.drained();
}

function left(this: OwnedSocket): void {
  this[OWNER]?.left();
}

/**
 * Closes the socket behind what was written to it.
 * @param client `has_left`: it has said that it reads nothing more
 */
export function hangUp(socket: Socket, client: 'listens' | 'has_left'): void {
  if (socket.destroyed) return;
  // As a server does. TLS ends with an alert of its own, which Node sends with `end` alone.
  const isOver = client === 'has_left' && socket.writableLength === 0;
  if (isOver && !(socket instanceof TLSSocket)) {
    socket.destroy();
    return;
  }
  socket.end();
  // Who reads nothing does not see the end either.
  socket.setTimeout(CLOSE_TIMEOUT_MS, () => socket.destroy());
}
