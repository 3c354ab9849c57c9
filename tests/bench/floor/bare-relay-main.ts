/**
 * The least that a pooler in Node can do: a server connection for each client, and every byte
 * passed on as it comes, unread. What it costs is what sockets cost in Node; a pooler that looks at
 * messages can only save some of it.
 * Usage: node bare-relay-main.ts PORT SERVER_PORT
 */
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';

const READ_BYTES = 65_536;
const HOST = '127.0.0.1';
const [port, serverPort] = process.argv.slice(2).map(Number);

createServer({ noDelay: true }, (client) => {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  // As a pooler reads its servers: into memory that is used again.
  const passOn = (bytes: number): boolean => {
    client.write(Buffer.from(buffer.subarray(0, bytes)));
    return true;
  };
  const onread = { buffer, callback: passOn };
  const server = connect({ port: serverPort ?? 0, host: HOST, noDelay: true, onread });
  client.on('data', (chunk) => server.write(chunk));
  endTogether(client, server);
}).listen(port, HOST);

function endTogether(client: Socket, server: Socket): void {
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    one.on('error', () => other.destroy());
    one.on('end', () => other.end());
  }
}
