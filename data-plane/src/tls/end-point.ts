/**
 * The channel binding `tls-server-end-point`: the hash of a server's certificate, to which a SCRAM
 * exchange is tied so that nobody can stand between the two ends.
 * Source: RFC 5929 §4.1; the same choice of digests as PostgreSQL 18, libpq/be-secure-openssl.c
 * be_tls_get_certificate_hash(). X.690 (DER), RFC 5280 §4.1 for the place of the algorithm.
 */
import { createHash } from 'node:crypto';

/** Digests by the object identifier of a signature algorithm, in hexadecimal as DER has it. */
const BY_SIGNATURE: Readonly<Record<string, string>> = Object.freeze({
  // RFC 5929: MD5 and SHA-1 give way to SHA-256.
  '2a864886f70d010104': 'sha256',
  '2a864886f70d010105': 'sha256',
  '2a8648ce3d0401': 'sha256',
  // RSA
  '2a864886f70d01010e': 'sha224',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  // ECDSA
  '2a8648ce3d040301': 'sha224',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
});

/** RSASSA-PSS names its digest in its parameters. */
const RSASSA_PSS = '2a864886f70d01010a';
const BY_DIGEST: Readonly<Record<string, string>> = Object.freeze({
  '2b0e03021a': 'sha256',
  '608648016503040204': 'sha224',
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
});
const HASH_ALGORITHM_TAG = 0xa0;

/**
 * The binding data of the end whose certificate this is.
 * @param certificate as DER.
 * @returns nothing when its signature has no digest of its own (Ed25519): such a certificate cannot
 *   be bound to.
 */
export function serverEndPoint(certificate: Buffer): Buffer | undefined {
  const digest = signatureDigest(certificate);
  return digest === undefined ? undefined : createHash(digest).update(certificate).digest();
}

function signatureDigest(der: Buffer): string | undefined {
  const certificate = elementAt(der, 0);
  const toBeSigned = elementAt(der, certificate.start);
  const algorithm = elementAt(der, toBeSigned.end);
  const identifier = elementAt(der, algorithm.start);
  const signature = hexOf(der, identifier);
  if (signature !== RSASSA_PSS) return BY_SIGNATURE[signature];
  const parameters = elementAt(der, identifier.end);
  const isDefault = parameters.start === parameters.end;
  const first = isDefault ? undefined : elementAt(der, parameters.start);
  // The default is SHA-1.
  if (first?.tag !== HASH_ALGORITHM_TAG) return 'sha256';
  const hashAlgorithm = elementAt(der, first.start);
  return BY_DIGEST[hexOf(der, elementAt(der, hashAlgorithm.start))];
}

interface Element {
  readonly tag: number;
  /** Of its content. */
  readonly start: number;
  readonly end: number;
}

/** Of a certificate that OpenSSL has read already. @throws RangeError where it is cut short */
function elementAt(der: Buffer, at: number): Element {
  const tag = der.readUInt8(at);
  const first = der.readUInt8(at + 1);
  const isLong = first > 0x7f;
  const lengthBytes = isLong ? first & 0x7f : 0;
  const start = at + 2 + lengthBytes;
  const length = isLong ? der.readUIntBE(at + 2, lengthBytes) : first;
  return { tag, start, end: start + length };
}

function hexOf(der: Buffer, { start, end }: Element): string {
  return der.toString('hex', start, end);
}
