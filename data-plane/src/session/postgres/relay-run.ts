/**
 * Writes what a server has said to a client's socket, although the server's next words are read
 * into the same memory.
 * Leaves: the memory to upstream/server-reads.ts.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';

/** So much is rather copied than made to keep a buffer of its own. */
const COPIED_BYTES_MAX = 4_000;

/** @returns false when the client is to be waited for before more is written, as `write` does */
export function relayRun(
  run: Buffer,
  from: Pick<PostgresBackend, 'lendRun'>,
  client: Socket,
): boolean {
  const waits = client.writableLength > 0 || client instanceof TLSSocket;
  if (waits && run.length <= COPIED_BYTES_MAX) return client.write(Buffer.from(run));
  const takesMore = client.write(run);
  // As long as a socket has nothing in line, the kernel takes what is written within the call.
  if (client.writableLength > 0) from.lendRun(client);
  return takesMore;
}
