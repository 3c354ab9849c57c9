/**
 * PostgreSQL clients under TLS, made of Node's own TLS and the few bytes before it, for tests of
 * what psql cannot be told to do.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import type { RawAddress } from './raw-client.ts';

export const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

/** Asks by SSLRequest first. @throws what the handshake throws, or Error with the other answer */
export async function requestTls(
  address: RawAddress,
  options: ConnectionOptions,
): Promise<TLSSocket> {
  const socket = connect({ host: address.host, port: address.port, noDelay: true });
  socket.write(SSL_REQUEST);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  if (answer.toString('latin1') !== 'S') throw new Error(`the answer is ${answer.toString()}`);
  return handshake(connectTls({ ...options, socket }));
}

/** TLS from the first byte on. @throws what the handshake throws */
export function directTls(address: RawAddress, options: ConnectionOptions): Promise<TLSSocket> {
  return handshake(connectTls({ ...options, host: address.host, port: address.port }));
}

async function handshake(socket: TLSSocket): Promise<TLSSocket> {
  await once(socket, 'secureConnect');
  return socket;
}
