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

/**
 * @returns false when the client is to be waited for before more is written: its socket has more in
 *   line than it should, and tells when that is sent. (`write` counts what it has sent, too.)
 */
export function relayRun(
  run: Buffer,
  from: Pick<PostgresBackend, 'lendRun'>,
  client: Socket,
): boolean {
  const waits = client.writableLength > 0 || client instanceof TLSSocket;
  if (waits && run.length <= COPIED_BYTES_MAX) client.write(Buffer.from(run));
  else {
    client.write(run);
    // As long as a socket has nothing in line, the kernel takes what is written within the call.
    if (client.writableLength > 0) from.lendRun(client);
  }
  return client.writableLength < client.writableHighWaterMark;
}
