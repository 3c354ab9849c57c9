/**
 * What the socket of a client tells its login and then its session, and how it is closed. The
 * listeners are the same few functions for all clients: closures of its own would cost each half a
 * kilobyte. They stay when the socket goes from one to the other: adding and removing them costs
 * more than a hash.
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
  [OWNER]?: SocketOwner | undefined;
}

/** From here on `owner` hears of the socket instead of who did before, until it is closed. */
export function listenTo(socket: OwnedSocket, owner: SocketOwner): void {
  const isHeard = socket[OWNER] !== undefined;
  socket[OWNER] = owner;
  if (isHeard) return;
  socket.on('data', received);
  socket.on('drain', drained);
  socket.on('end', left);
  socket.on('error', left);
  socket.on('close', left);
}

/** Nobody hears of the socket any more: for who is to listen to it himself. */
export function stopListening(socket: OwnedSocket): void {
  socket[OWNER] = undefined;
  socket.off('data', received).off('drain', drained);
  socket.off('end', left).off('error', left).off('close', left);
}

/** For a socket that was given up: what still arrives is thrown away. */
export const NOBODY: SocketOwner = Object.freeze({
  received: () => {},
  drained: () => {},
  left: () => {},
});

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
