/**
 * Certificate authorities and certificates for tests of TLS, made when they are needed.
 * Owns: keys, names, validity. Leaves: which files they stand in to the caller.
 */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

export interface KeyAndCertificate {
  /** Both as PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  readonly commonName: string;
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly string[];
  readonly emails?: readonly string[];
  /** Default is `valid`: from an hour ago for a day. */
  readonly validity?: 'valid' | 'expired';
  /** Of the authority's signature. Default is SHA-256. */
  readonly digest?: 'SHA-256' | 'SHA-384' | 'SHA-512';
}

/** How an authority signs. */
export type SignatureKind = 'ecdsa' | 'rsa' | 'rsa-pss' | 'ed25519';

const HOUR_MS = 3_600_000;
const RSA = { publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2_048, hash: 'SHA-256' };
const KEYS = {
  ecdsa: { name: 'ECDSA', namedCurve: 'P-256' },
  rsa: { name: 'RSASSA-PKCS1-v1_5', ...RSA },
  'rsa-pss': { name: 'RSA-PSS', ...RSA },
  ed25519: { name: 'Ed25519' },
} as const;

let serial = 1;

export class Authority {
  readonly cert: string;
  readonly #name: string;
  readonly #keys: webcrypto.CryptoKeyPair;

  private constructor(name: string, keys: webcrypto.CryptoKeyPair, cert: string) {
    this.#name = name;
    this.#keys = keys;
    this.cert = cert;
  }

  static async create(name: string, kind: SignatureKind = 'ecdsa'): Promise<Authority> {
    const keys = await keyPair(kind);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: `CN=${name}`,
      keys,
      serialNumber: nextSerial(),
      ...validity('valid'),
      signingAlgorithm: signing(keys, 'SHA-256'),
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      ],
    });
    return new Authority(name, keys, certificate.toString('pem'));
  }

  /** A certificate for a server or a client, with a new P-256 key. */
  async issue(options: CertificateOptions): Promise<KeyAndCertificate> {
    const { commonName, dnsNames = [], ips = [], emails = [], digest = 'SHA-256' } = options;
    const keys = await keyPair('ecdsa');
    const names = [
      ...dnsNames.map((value) => ({ type: 'dns', value }) as const),
      ...ips.map((value) => ({ type: 'ip', value }) as const),
      ...emails.map((value) => ({ type: 'email', value }) as const),
    ];
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${commonName}`,
      issuer: `CN=${this.#name}`,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      serialNumber: nextSerial(),
      ...validity(options.validity ?? 'valid'),
      signingAlgorithm: signing(this.#keys, digest),
      extensions: names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)],
    });
    return { cert: certificate.toString('pem'), key: await privatePem(keys.privateKey) };
  }
}

function keyPair(kind: SignatureKind): Promise<webcrypto.CryptoKeyPair> {
  const made: Promise<unknown> = webcrypto.subtle.generateKey(KEYS[kind], true, ['sign', 'verify']);
  return made as Promise<webcrypto.CryptoKeyPair>;
}

function signing(keys: webcrypto.CryptoKeyPair, digest: string) {
  const { name } = keys.privateKey.algorithm;
  return { name, hash: digest, saltLength: 32 };
}

function validity(which: 'valid' | 'expired') {
  const now = Date.now();
  const end = which === 'valid' ? now + 24 * HOUR_MS : now - HOUR_MS;
  return { notBefore: new Date(now - 2 * HOUR_MS), notAfter: new Date(end) };
}

function nextSerial(): string {
  serial += 1;
  return serial.toString(16).padStart(4, '0');
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  const lines = der.toString('base64').replaceAll(/.{64}/g, '$&\n');
  return `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
}
