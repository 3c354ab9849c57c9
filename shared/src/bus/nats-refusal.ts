/**
 * Why a connection to NATS did not come about, in words that an operator can act on.
 * Source: node:tls, "X509 certificate error codes"; NATS documentation, "Client protocol" (-ERR).
 */
import type { NatsIdentity } from './nats-identity.ts';

export interface NatsRefusal {
  readonly reason: string;
  /** What to look at; absent where the reason says it. */
  readonly hint?: string;
}

const TRUST_HINT = 'Name the authority that has signed it in nats_tls_ca_file.';
/** The client tells nothing of the alert that says so: it comes after the handshake. */
const SILENCE_HINT =
  'If it wants client certificates, that is how it treats who has none: set nats_tls_cert_file.';

/** By the code of the error: OpenSSL's for certificates, the system's for sockets. */
const BY_CODE: Readonly<Record<string, NatsRefusal>> = Object.freeze({
  SELF_SIGNED_CERT_IN_CHAIN: fromUnknown('its authority is not known here'),
  DEPTH_ZERO_SELF_SIGNED_CERT: fromUnknown('it is signed by itself'),
  UNABLE_TO_GET_ISSUER_CERT: fromUnknown('its authority is not known here'),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: fromUnknown('its authority is not known here'),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: fromUnknown('its authority is not known here'),
  CERT_HAS_EXPIRED: { reason: "the server's certificate has expired" },
  CERT_NOT_YET_VALID: { reason: "the server's certificate is not valid yet" },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    reason: "the server's certificate is for another name",
    hint: 'Use a name in the NATS URL that the certificate holds.',
  },
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: certificateWanted('has ended the TLS handshake'),
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: certificateWanted('does not accept our certificate'),
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: certificateWanted('does not know who signed our certificate'),
  ENOTFOUND: { reason: 'no address is known for this name' },
  ECONNREFUSED: { reason: 'nothing listens there' },
  ETIMEDOUT: { reason: 'the server does not answer' },
  EHOSTUNREACH: { reason: 'the server cannot be reached' },
});

export function explainNatsRefusal(
  error: unknown,
  { describes: who, tls }: Pick<NatsIdentity, 'describes' | 'tls'>,
): NatsRefusal {
  if (!(error instanceof Error)) return { reason: String(error) };
  const known = BY_CODE[codeOf(error)];
  if (known !== undefined) return known;
  if (/authorization|authentication/i.test(error.message)) {
    return {
      reason: `the server refuses the login of ${who}: ${error.message}`,
      hint: "Compare the credentials with the server's users.",
    };
  }
  if (/does not support 'tls'/.test(error.message)) {
    return {
      reason: 'the server offers no TLS, which is asked for',
      hint: 'Give it a certificate, or use nats:// without nats_tls_* settings.',
    };
  }
  if (error.name === 'TimeoutError') {
    const reason = 'the server does not answer';
    return tls?.certFile === undefined ? { reason, hint: SILENCE_HINT } : { reason };
  }
  return { reason: error.message === '' ? error.name : error.message };
}

function codeOf(error: Error): string {
  const { code, cause } = error as Error & { readonly code?: unknown };
  if (typeof code === 'string') return code;
  return cause instanceof Error ? codeOf(cause) : '';
}

function fromUnknown(why: string): NatsRefusal {
  return { reason: `the server's certificate is not trusted: ${why}`, hint: TRUST_HINT };
}

function certificateWanted(what: string): NatsRefusal {
  const hint = 'Check nats_tls_cert_file and nats_tls_key_file.';
  return { reason: `the server ${what}`, hint };
}
