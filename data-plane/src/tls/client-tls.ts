/**
 * TLS towards clients: turns an accepted socket into an encrypted one, under the certificate of the
 * moment. New files take effect for new connections; those that do not fit together are refused,
 * and what was loaded before stays.
 * Owns: handshakes, reloading, whether a client's certificate is valid. Leaves: what a client may
 * do without TLS or a certificate to session/, the files' content to key-files.ts.
 * Source: RFC 8446, RFC 7301 (ALPN); PostgreSQL 18 manual, "SSL Session Encryption".
 */
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { Server } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { contentDigest } from '@dbbouncer/shared/files/content-digest.ts';
import { FileWatcher } from '@dbbouncer/shared/files/file-watcher.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { namesOf } from './certificate-users.ts';
import { HandshakeFailed } from './handshake-failed.ts';
import { readKeyMaterial } from './key-files.ts';
import type { KeyFilePaths, KeyMaterial } from './key-files.ts';

/** What a client has shown of itself in the handshake. */
export type ClientCertificate =
  | { readonly kind: 'none' }
  /** From an authority of `tls_client_ca`, and neither expired nor early. */
  | { readonly kind: 'valid'; readonly names: readonly string[] }
  /** `reason` in OpenSSL's words. */
  | { readonly kind: 'invalid'; readonly reason: string };

/** An encrypted connection and what was agreed on it. */
export interface SecureChannel {
  readonly socket: TLSSocket;
  /** The server name the client asked for (SNI). */
  readonly serverName: string | undefined;
  /** Whether the client has named this protocol, as it must where nothing came before TLS. */
  readonly protocolNamed: 'named' | 'not_named';
  readonly certificate: ClientCertificate;
  /** The hash of the certificate shown to the client, for channel binding. */
  readonly endPoint: Buffer | undefined;
}

/** As much of TLS as a login needs. */
export type ClientTlsPort = Pick<ClientTls, 'accept'>;

export interface ClientTlsOptions {
  readonly files: KeyFilePaths;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** The protocol's name in ALPN. */
  readonly protocol: string;
  readonly handshakeTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** With forward secrecy and authentication of what is encrypted; the cheapest first. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** Never listens: it is handed sockets, and makes of each an encrypted one. */
interface Loaded {
  readonly server: Server;
  readonly material: KeyMaterial;
}

interface Handshake {
  established(socket: TLSSocket): void;
  failed(error: Error): void;
}

export class ClientTls {
  readonly #options: ClientTlsOptions;
  readonly #watchers: readonly FileWatcher[];
  /** By the two ends of the connection; as many as there are clients in a handshake. */
  readonly #handshakes = new Map<string, Handshake>();
  #loaded: Loaded;

  /** @throws AppError SETTINGS_INVALID: files that cannot be used */
  constructor(options: ClientTlsOptions) {
    this.#options = options;
    try {
      this.#loaded = this.#load();
    } catch (error) {
      throw sharedErrors.fail('SETTINGS_INVALID', `TLS: ${(error as Error).message}`, {
        hint: 'Check tls_cert, tls_key and tls_client_ca.',
        cause: error,
      });
    }
    this.#watchers = this.#watch();
  }

  /** When the certificate that is shown to clients ends, in milliseconds since 1970. */
  get notAfterMs(): number {
    return this.#loaded.material.notAfterMs;
  }

  /**
   * The encrypted side of `socket`, to which nobody may listen any more. What was unshifted into it
   * is taken for the beginning of the handshake.
   * @throws HandshakeFailed; the socket is closed then
   */
  accept(socket: Socket): Promise<SecureChannel> {
    const { server, material } = this.#loaded;
    const ends = endsOf(socket);
    return new Promise((resolve, reject) => {
      const settle = () => {
        this.#handshakes.delete(ends);
        socket.off('close', gone);
      };
      const failed = (error: Error | undefined) => {
        settle();
        socket.destroy();
        reject(new HandshakeFailed(error));
      };
      const gone = () => failed(undefined);
      const established = (secure: TLSSocket) => {
        settle();
        // An encrypted socket tells of an error and stays open otherwise.
        secure.on('error', () => secure.destroy());
        resolve(channelOver(secure, material));
      };
      if (socket.destroyed) return gone();
      socket.once('close', gone);
      this.#handshakes.set(ends, { established, failed });
      server.emit('connection', socket);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#watchers.map((watcher) => watcher.close()));
  }

  #load(): Loaded {
    const { files, minVersion, protocol, handshakeTimeoutMs } = this.#options;
    const material = readKeyMaterial(files);
    const { cert, key, clientCa } = material;
    const server = new Server({
      cert,
      key,
      ...(clientCa === undefined ? {} : { ca: clientCa }),
      requestCert: clientCa !== undefined,
      // Clients without a valid certificate are told so in their own protocol.
      rejectUnauthorized: false,
      ALPNProtocols: [protocol],
      minVersion,
      ciphers: CIPHERS,
      // As PostgreSQL: a session is never taken up again, so certificates are looked at each time.
      secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
      handshakeTimeout: handshakeTimeoutMs,
    });
    server.on('secureConnection', (socket) => this.#of(socket)?.established(socket));
    server.on('tlsClientError', (error, socket) => this.#of(socket)?.failed(error));
    return { server, material };
  }

  #of(socket: TLSSocket): Handshake | undefined {
    return this.#handshakes.get(endsOf(socket));
  }

  #watch(): readonly FileWatcher[] {
    const { files, clock, log } = this.#options;
    const { cert, key, clientCa } = this.#loaded.material;
    const watched = [
      [files.certFile, cert],
      [files.keyFile, key],
      [files.clientCaFile, clientCa],
    ] as const;
    return watched.flatMap(([path, text]) => {
      if (path === undefined || text === undefined) return [];
      const knownDigest = contentDigest(text);
      const onChange = async () => this.#reload();
      return [new FileWatcher({ path, knownDigest, clock, log, onChange })];
    });
  }

  #reload(): void {
    const { files, log } = this.#options;
    try {
      this.#loaded = this.#load();
      log.info({ cert: files.certFile, notAfterMs: this.notAfterMs }, 'TLS files loaded anew');
    } catch (error) {
      // Expected between two files that are replaced one after the other.
      const reason = (error as Error).message;
      log.warn({ reason }, 'new TLS files refused; what was loaded before stays in use');
    }
  }
}

/** A connection is named by its two ends: what Node makes of a socket does not tell of which. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

function channelOver(socket: TLSSocket, { clientCa, endPoint }: KeyMaterial): SecureChannel {
  // Of the server's side; the types know it on the client's alone.
  const { servername } = socket as TLSSocket & { readonly servername?: string | false | null };
  return {
    socket,
    serverName: typeof servername === 'string' ? servername : undefined,
    protocolNamed: typeof socket.alpnProtocol === 'string' ? 'named' : 'not_named',
    certificate: clientCa === undefined ? { kind: 'none' } : certificateOf(socket),
    endPoint,
  };
}

function certificateOf(socket: TLSSocket): ClientCertificate {
  if (socket.getPeerX509Certificate() === undefined) return { kind: 'none' };
  if (socket.authorized) return { kind: 'valid', names: namesOf(socket.getPeerCertificate()) };
  return { kind: 'invalid', reason: String(socket.authorizationError) };
}
