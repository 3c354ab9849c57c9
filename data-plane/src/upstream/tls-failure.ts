/**
 * What is told when TLS with a database server does not come about: what happened, and what to do.
 * Owns: words and hints. Source: Node.js, "X509 certificate error codes"; OpenSSL's alerts.
 */

export type NoTlsReason =
  | 'not_offered'
  /** The server answered with an error, which nothing has vouched for: it is not repeated. */
  | 'refused'
  | 'closed'
  | 'bytes_injected';

const NO_TLS: Readonly<Record<NoTlsReason, string>> = Object.freeze({
  not_offered: 'the server does not offer TLS',
  refused: 'the server answered the request for TLS with an error',
  closed: 'the server closed the connection in the middle of the TLS handshake',
  bytes_injected: 'bytes followed the answer to the request for TLS before the handshake',
});

/** The server does not speak TLS, or not as the protocol has it. */
export class NoTls extends Error {
  override readonly name = 'NoTls';
  readonly reason: NoTlsReason;

  constructor(reason: NoTlsReason) {
    super(NO_TLS[reason]);
    this.reason = reason;
  }
}

export interface TlsFailure {
  readonly words: string;
  readonly hint: string;
}

const UNTRUSTED: TlsFailure = Object.freeze({
  words: "the server's certificate comes from an authority that is not trusted",
  hint: 'Give the certificate of its authority as server_tls.ca of the tenant.',
});

const BY_CODE: Readonly<Record<string, TlsFailure>> = Object.freeze({
  CERT_HAS_EXPIRED: {
    words: "the server's certificate has expired",
    hint: 'Renew the certificate of the database server.',
  },
  CERT_NOT_YET_VALID: {
    words: "the server's certificate is not valid yet",
    hint: 'Check the clocks of the database server and of the proxy.',
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
});

/** Of an error on the way to a TLS connection; nothing when it has another cause. */
export function tlsFailure(error: unknown): TlsFailure | undefined {
  if (error instanceof NoTls) {
    const hint =
      error.reason === 'not_offered'
        ? 'Turn TLS on at the database server, or lower server_tls.mode of the tenant.'
        : 'Check that host and port of the tenant are those of a PostgreSQL server.';
    return { words: error.message, hint };
  }
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return undefined;
  const known = BY_CODE[code];
  if (known !== undefined) return known;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return wrongName(error as WrongName);
  if (!code.startsWith('ERR_SSL_') && !code.startsWith('ERR_OSSL_')) return undefined;
  return {
    words: `TLS with the server failed: ${reasonIn(message)}`,
    hint: 'Check server_tls of the tenant, and the TLS settings of the database server.',
  };
}

interface WrongName {
  readonly host: string;
  readonly cert: { readonly subject?: { readonly CN?: string }; readonly subjectaltname?: string };
}

function wrongName({ host, cert }: WrongName): TlsFailure {
  const names = cert.subjectaltname ?? cert.subject?.CN ?? 'nobody';
  return {
    words: `the server's certificate is not for "${host}", but for ${names}`,
    hint: 'Give the name in the certificate as server_tls.server_name of the tenant.',
  };
}

/** OpenSSL puts the place in its sources around the one sentence that says something. */
function reasonIn(message: string): string {
  const parts = message.split(':');
  return (parts.length > 5 ? parts[5] : message)?.trim() ?? message;
}
