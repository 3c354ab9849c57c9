/**
 * Who we are at NATS and whom we believe there: certificates, keys and credentials that stand in
 * files. They are checked at the start and read anew for each connection, so that what an operator
 * renews needs no restart.
 * Owns: what such files must hold. Leaves: credentials in a URL to nats-address.ts, the connection
 * to nats-link.ts.
 * Source: NATS documentation, "Securing NATS"; RFC 7468 (PEM).
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import {
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node';
import type { Authenticator, TlsOptions } from '@nats-io/transport-node';
import { sharedErrors } from '../errors.ts';
import type { Logger } from '../kernel/log.ts';
import type { NatsAddress, NatsCredentials } from './nats-address.ts';

/** Paths of PEM files; without `caFile` the authorities that Node.js brings along count. */
export interface NatsTls {
  readonly caFile?: string | undefined;
  /** A certificate of our own, for a server that asks for one; needs `keyFile`. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** `nkey`: the seed of a user key. `creds`: a user's JWT and seed, as `nsc` writes them. */
export interface NatsCredentialsFile {
  readonly kind: 'nkey' | 'creds';
  readonly path: string;
}

export interface NatsIdentityOptions {
  readonly tls?: NatsTls | undefined;
  readonly credentialsFile?: NatsCredentialsFile | undefined;
}

/** As the client takes them, and what it passes on to node:tls. */
type ClientTlsOptions = TlsOptions & Pick<ConnectionOptions, 'checkServerIdentity'>;

/** Certificates and seeds have a few kilobytes. */
const FILE_BYTES_MAX = 1_048_576;

export class NatsIdentity {
  readonly tls: ClientTlsOptions | undefined;
  readonly authenticator: Authenticator | undefined;
  /** For people: 'user "proxy"', 'nkey UABC…'; never a secret. */
  readonly describes: string;

  /** @throws SETTINGS_INVALID naming the file that cannot be used, or two ways to log in. */
  constructor(address: NatsAddress, options: NatsIdentityOptions, log: Logger) {
    const tls = options.tls ?? (address.tls === 'required' ? {} : undefined);
    if (tls !== undefined) requireUsable(tls);
    const { credentials } = address;
    const { credentialsFile: file } = options;
    if (credentials !== undefined && file !== undefined) {
      throw sharedErrors.fail(
        'SETTINGS_INVALID',
        `The NATS URL holds the ${describeCredentials(credentials)}, and nats_${file.kind}_file` +
          ` is ${file.path}: one of the two must go`,
      );
    }
    this.tls = tls === undefined ? undefined : clientOptions(tls, address.servers);
    if (file === undefined) {
      this.authenticator = credentials === undefined ? undefined : fixed(credentials);
      this.describes =
        credentials === undefined
          ? 'a client without credentials'
          : describeCredentials(credentials);
    } else {
      const current = readCredentials(file);
      this.authenticator = readAnew(file, current, log);
      this.describes = `nkey ${publicKeyOf(current)} of ${file.path}`;
    }
  }
}

function describeCredentials(credentials: NatsCredentials): string {
  return credentials.kind === 'password' ? `user "${credentials.user}"` : 'token of the URL';
}

function fixed(credentials: NatsCredentials): Authenticator {
  return credentials.kind === 'token'
    ? tokenAuthenticator(credentials.token)
    : usernamePasswordAuthenticator(credentials.user, credentials.password);
}

/** Logs in with what the file holds by then, or with what it held when it could last be read. */
function readAnew(file: NatsCredentialsFile, first: Authenticator, log: Logger): Authenticator {
  let current = first;
  return (nonce) => {
    try {
      current = readCredentials(file);
    } catch (error) {
      log.warn({ error }, 'NATS credentials cannot be read anew; the former are used');
    }
    return current(nonce);
  };
}

/** @throws SETTINGS_INVALID */
function readCredentials({ kind, path }: NatsCredentialsFile): Authenticator {
  const bytes = Buffer.from(readText(path));
  const authenticator =
    kind === 'nkey' ? nkeyAuthenticator(seedIn(bytes.toString())) : credsAuthenticator(bytes);
  const what = kind === 'nkey' ? 'seed of a NATS user (SU…)' : 'NATS credentials of a user';
  return holding(path, `no ${what}`, () => {
    if (!publicKeyOf(authenticator).startsWith('U')) throw new Error('not the key of a user');
    return authenticator;
  });
}

/** Lines that begin with # are comments. */
function seedIn(text: string): Uint8Array {
  const line = text.split('\n').find((one) => one.trim() !== '' && !one.startsWith('#')) ?? '';
  return Buffer.from(line.trim());
}

/** @throws the library's error, when the seed is none */
function publicKeyOf(authenticator: Authenticator): string {
  const login = authenticator('check');
  return typeof login === 'object' && 'nkey' in login ? login.nkey : '';
}

/** @throws SETTINGS_INVALID */
function requireUsable({ caFile, certFile, keyFile }: NatsTls): void {
  if (caFile !== undefined) certificateIn(caFile);
  if (certFile === undefined && keyFile === undefined) return;
  if (certFile === undefined || keyFile === undefined) {
    const message = 'nats_tls_cert_file and nats_tls_key_file must be given together';
    throw sharedErrors.fail('SETTINGS_INVALID', message);
  }
  const text = readText(keyFile);
  const key = holding(keyFile, 'no private key as PEM', () => createPrivateKey(text));
  if (certificateIn(certFile).checkPrivateKey(key)) return;
  throw unusable(keyFile, `is not the key of the first certificate in ${certFile}`);
}

function certificateIn(path: string): X509Certificate {
  const text = readText(path);
  return holding(path, 'no certificate as PEM', () => new X509Certificate(text));
}

function readText(path: string): string {
  let text: string;
  try {
    const { size } = statSync(path);
    if (size > FILE_BYTES_MAX) throw new Error(`${size} bytes, ${FILE_BYTES_MAX} is the limit`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw unusable(path, `cannot be read: ${(error as Error).message}`);
  }
  return text;
}

/** The library's words may quote what is in the file: they are left out. */
function holding<T>(path: string, nothing: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw unusable(path, `holds ${nothing}`);
  }
}

function unusable(path: string, problem: string): Error {
  return sharedErrors.fail('SETTINGS_INVALID', `NATS: ${path} ${problem}`, {
    hint: 'Check the settings nats_tls_*_file, nats_nkey_file and nats_creds_file.',
  });
}

/** The client reads these files itself, at each connect. */
function clientOptions(
  { caFile, certFile, keyFile }: NatsTls,
  servers: readonly string[],
): ClientTlsOptions {
  return {
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
    checkServerIdentity: identityCheck(servers),
  };
}

/**
 * For a server that is given by its address the client has no name to check, and node:tls takes
 * "localhost" then: what the certificate must hold is one of the addresses.
 */
function identityCheck(servers: readonly string[]): typeof checkServerIdentity {
  const hosts = servers.map((server) =>
    new URL(`nats://${server}`).hostname.replace(/^\[|\]$/g, ''),
  );
  const addresses = hosts.filter((host) => isIP(host) > 0);
  const isAddress = (host: string) => host === 'localhost' && !hosts.includes(host);
  return (host, certificate) => {
    if (!isAddress(host)) return checkServerIdentity(host, certificate);
    const problems = addresses.map((address) => checkServerIdentity(address, certificate));
    return problems.includes(undefined) ? undefined : problems[0];
  };
}
