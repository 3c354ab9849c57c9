/**
 * From a connected socket to one over which the startup packet may go: TLS is asked for, and begun
 * where the server has it.
 * Owns: the request, its answer, the handshake. Leaves: TCP and deadlines to connect-postgres.ts,
 * what to demand to server-tls.ts, words for failures to tls-failure.ts.
 * Source: PostgreSQL 18 manual, "SSL Session Encryption".
 */
import type { Socket } from 'node:net';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { ServerTlsMode } from '@dbbouncer/shared/contract/tls-modes.ts';
import { encodeSSLRequest } from '../wire/postgres/startup-message.ts';
import type { ServerReads } from './server-reads.ts';
import type { ServerTls } from './server-tls.ts';
import { NoTls } from './tls-failure.ts';

/**
 * - `clear`: TLS is not asked for
 * - `offered`: TLS if the server has it, else the same connection without
 * - `demanded`: TLS or nothing
 */
export type Way = 'clear' | 'offered' | 'demanded';

/** In which order a mode tries, each on a connection of its own, as libpq does. */
export const WAYS: Readonly<Record<ServerTlsMode, readonly Way[]>> = Object.freeze({
  disable: ['clear'],
  allow: ['clear', 'demanded'],
  prefer: ['offered', 'clear'],
  require: ['demanded'],
  'verify-ca': ['demanded'],
  'verify-full': ['demanded'],
});

const OFFERED = 'S'.charCodeAt(0);
const NOT_OFFERED = 'N'.charCodeAt(0);

/**
 * The socket to speak PostgreSQL on: `socket` itself or its encrypted side. Destroying `socket`
 * ends either. @param reads where the bytes of `socket` come from, if it does not emit them
 * @throws NoTls, what the handshake throws; the socket is destroyed then
 */
export async function negotiate(
  socket: Socket,
  tls: ServerTls,
  way: Way,
  reads?: ServerReads,
): Promise<Socket> {
  if (way === 'clear') return socket;
  try {
    const answer = await firstByte(socket, reads);
    if (answer === OFFERED) return await handshake(socket, tls);
    if (answer === NOT_OFFERED && way === 'offered') return socket.resume();
    throw new NoTls(answer === NOT_OFFERED ? 'not_offered' : 'refused');
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Asks for TLS. Whatever follows the one byte of the answer was put there by somebody else. */
function firstByte(socket: Socket, reads: ServerReads | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      if (reads === undefined) socket.off('data', received);
      else reads.consume(undefined);
      socket.off('error', failed);
      socket.off('close', closed);
      end();
    };
    const received = (chunk: Buffer) => {
      socket.pause();
      const answer = chunk[0] as number;
      const isWhole = chunk.length === 1 || (answer !== OFFERED && answer !== NOT_OFFERED);
      // CVE-2021-23222
      settle(() => (isWhole ? resolve(answer) : reject(new NoTls('bytes_injected'))));
    };
    const failed = (error: Error) => settle(() => reject(error));
    const closed = () => settle(() => reject(new NoTls('closed')));
    if (reads === undefined) socket.on('data', received);
    else reads.consume(received);
    socket.on('error', failed);
    socket.on('close', closed);
    socket.write(encodeSSLRequest());
  });
}

function handshake(socket: Socket, { options }: ServerTls): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = connect({ ...options, socket });
    // It may tell of a second error after the first, when nobody waits any more.
    secure.on('error', () => {});
    const failed = (error: Error) => {
      secure.off('close', closed);
      reject(error);
    };
    const closed = () => reject(new NoTls('closed'));
    secure.once('error', failed);
    secure.once('close', closed);
    secure.once('secureConnect', () => {
      secure.off('error', failed);
      secure.off('close', closed);
      resolve(secure);
    });
  });
}
