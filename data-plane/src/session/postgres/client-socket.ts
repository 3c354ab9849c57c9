/**
 * What the socket of a logged-in client tells its session. The listeners are the same few functions
 * for all clients: closures of its own would cost each of them half a kilobyte.
 */
import type { Socket } from 'node:net';

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
