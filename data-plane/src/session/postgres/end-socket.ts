/** Ends a client's connection behind what was written to it. */
import type { Socket } from 'node:net';

/** How long a client that was told its end may keep its socket open. */
const CLOSE_TIMEOUT_MS = 5_000;

export function endSocket(socket: Socket): void {
  if (socket.destroyed) return;
  socket.end();
  // Who reads nothing does not see the end either.
  socket.setTimeout(CLOSE_TIMEOUT_MS, () => socket.destroy());
}
