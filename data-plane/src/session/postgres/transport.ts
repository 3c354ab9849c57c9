/**
 * What `tls_mode` demands of a client's connection, and what its certificate is worth.
 * Owns: the refusals of clients without TLS, without a certificate, or with somebody else's.
 * Leaves: handshakes and the validity of certificates to tls/.
 */
import type { ClientTlsMode } from '@dbbouncer/shared/contract/tls-modes.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { ClientAddress } from '../../access/client-address.ts';
import { proxyErrors } from '../../errors.ts';
import type { CertificateUsers } from '../../tls/certificate-users.ts';
import type { SecureChannel } from '../../tls/client-tls.ts';
import type { AuthFailure } from '../meter.ts';
import type { Claimant } from './authenticate.ts';

export interface TransportPolicy {
  readonly mode: ClientTlsMode;
  readonly certificateUsers: CertificateUsers;
  /** Whether a certificate that names tenant and user stands for the password. */
  readonly certificateLogin: 'on' | 'off';
}

/** Why a connection is refused: for the client, and for the operator's counters. */
export interface TransportRefusal {
  readonly error: AppError;
  readonly failure: AuthFailure;
}

/** Why nobody may log in over this connection; nothing when one may. */
export function transportRefusal(
  channel: SecureChannel | undefined,
  { kind }: ClientAddress,
  { mode }: TransportPolicy,
): TransportRefusal | undefined {
  if (channel === undefined) {
    const mayBeClear = mode === 'disable' || mode === 'allow' || kind === 'unix';
    return mayBeClear ? undefined : tlsRequired(mode);
  }
  const { certificate } = channel;
  if (certificate.kind === 'invalid') return certificateInvalid(certificate.reason);
  const isDemanded = mode === 'verify-ca' || mode === 'verify-full';
  return isDemanded && certificate.kind === 'none' ? certificateMissing(mode) : undefined;
}

/**
 * What the client's certificate says about the user it wants to be.
 * - `proven`: if there is such a user, it needs no password
 * - `open`: the certificate is in order, or not asked for; the password decides
 */
export function certificateVerdict(
  channel: SecureChannel | undefined,
  policy: TransportPolicy,
  claimant: Claimant,
  presentedUser: string,
): 'proven' | 'open' | TransportRefusal {
  const certificate = channel?.certificate;
  if (certificate?.kind !== 'valid') return 'open';
  const tenant = claimant.kind === 'tenant' ? claimant.tenant.id : (claimant.claimed ?? '');
  const claim = { tenant, user: claimant.user, presentedUser };
  const vouching = policy.certificateUsers.vouching(certificate.names, claim);
  if (vouching === 'not' && policy.mode === 'verify-full') return othersCertificate(presentedUser);
  return vouching === 'alone' && policy.certificateLogin === 'on' ? 'proven' : 'open';
}

function tlsRequired(mode: ClientTlsMode): TransportRefusal {
  const error = proxyErrors.fail('TLS_REQUIRED', 'connections without TLS are refused', {
    detail: `tls_mode is ${mode}`,
    hint: 'Connect with sslmode=require or stronger.',
  });
  return { error, failure: 'tls_required' };
}

function certificateMissing(mode: ClientTlsMode): TransportRefusal {
  const message = 'connection requires a valid client certificate';
  const error = proxyErrors.fail('CERTIFICATE_REFUSED', message, {
    detail: `tls_mode is ${mode}, and the client has shown no certificate`,
    hint: 'Connect with sslcert and sslkey.',
  });
  return { error, failure: 'certificate_missing' };
}

function certificateInvalid(reason: string): TransportRefusal {
  const error = proxyErrors.fail('CERTIFICATE_REFUSED', 'the client certificate is not valid', {
    detail: reason,
    hint: 'It must come from an authority in tls_client_ca, and must not have expired.',
  });
  return { error, failure: 'certificate_invalid' };
}

function othersCertificate(user: string): TransportRefusal {
  const message = `certificate authentication failed for user "${user}"`;
  const error = proxyErrors.fail('CERTIFICATE_REFUSED', message, {
    hint: 'Its name must be the user, or stand for the user in tls_client_cert_users.',
  });
  return { error, failure: 'certificate_user' };
}
