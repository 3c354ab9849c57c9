/** What a slow reader costs this process, in which the proxy of a test runs. */
import type { Socket } from 'node:net';

export const MEGABYTE = 1024 * 1024;

/**
 * In megabytes: the most that the process holds outside of the JavaScript heap while `work` runs,
 * above what it held before.
 */
export async function externalGrowth(work: () => Promise<void>): Promise<number> {
  const held = () => process.memoryUsage().arrayBuffers;
  const before = held();
  let most = 0;
  const timer = setInterval(() => (most = Math.max(most, held() - before)), 20);
  await work();
  clearInterval(timer);
  return most / MEGABYTE;
}

/** Lets a paused socket flow, past its former reader; resolves once it has given `count` bytes. */
export function bytesReceived(socket: Socket, count: number): Promise<void> {
  let received = 0;
  socket.removeAllListeners('data');
  return new Promise((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received >= count) resolve();
    });
    socket.resume();
  });
}
