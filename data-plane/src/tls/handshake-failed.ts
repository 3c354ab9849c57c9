/** Why a TLS handshake with a client came to nothing, as a word of a closed union. */

export type HandshakeFailure =
  /** The client left, or took too long. */
  | 'client_gone'
  /** The client did not accept our certificate, or something else of ours. */
  | 'refused_by_client'
  /** No version of TLS that both speak. */
  | 'version'
  /** No cipher that both speak. */
  | 'cipher'
  /** ALPN names other protocols only. */
  | 'protocol'
  /** The bytes are not TLS, or not as they should be. */
  | 'malformed';

export class HandshakeFailed extends Error {
  override readonly name = 'HandshakeFailed';
  readonly reason: HandshakeFailure;

  /** @param cause OpenSSL's error; nothing when the connection ended. */
  constructor(cause: NodeJS.ErrnoException | undefined) {
    super(cause?.message ?? 'the connection ended during the TLS handshake', { cause });
    this.reason = reasonOf(cause?.code);
  }
}

function reasonOf(code: string | undefined): HandshakeFailure {
  if (code === undefined || !code.startsWith('ERR_SSL_')) return 'client_gone';
  if (/ALERT/.test(code)) return 'refused_by_client';
  if (/UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW/.test(code)) return 'version';
  if (/NO_APPLICATION_PROTOCOL/.test(code)) return 'protocol';
  return /CIPHER/.test(code) ? 'cipher' : 'malformed';
}
