/**
 * What both roles of SCRAM-SHA-256 share: keys, verifiers, channel binding, and the grammar of its
 * messages.
 * Owns: derivations, PostgreSQL's verifier text, salts, the mock verifier. Leaves: the exchange to
 * scram-server.ts and scram-client.ts; where random bytes, passwords and certificates come from to
 * their callers.
 * Source: RFC 5802, RFC 7677, RFC 5929 (tls-server-end-point); PostgreSQL 18 manual, "SASL
 * Authentication", and common/scram-common.c.
 */
import { hash, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { saslprep } from '@mongodb-js/saslprep';
import { hmacSha256 } from '../hmac-sha256.ts';
import { WireError } from '../wire-error.ts';
import { SCRAM_MESSAGE_BYTES_MAX, SCRAM_SALT_BYTES_MAX } from './limits.ts';

export const SCRAM_SHA_256 = 'SCRAM-SHA-256';
export const SCRAM_SHA_256_PLUS = 'SCRAM-SHA-256-PLUS';
export type ScramMechanism = typeof SCRAM_SHA_256 | typeof SCRAM_SHA_256_PLUS;

/** Proves a login to a server without the password. As secret as the password itself. */
export interface ScramKeys {
  readonly clientKey: Buffer;
  readonly serverKey: Buffer;
}

/** What a server keeps of a password: enough to check a proof, not enough to make one. */
export interface ScramVerifier {
  readonly iterations: number;
  readonly salt: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

/** How an exchange is tied to the TLS connection it runs over. */
export type ChannelBinding =
  /** No TLS here, or this side cannot bind. */
  | { readonly kind: 'none' }
  /**
   * A client that could bind, but was not offered -PLUS: the server notices if somebody took the
   * offer away.
   */
  | { readonly kind: 'not_offered' }
  /** `data` is the hash of the server's certificate, RFC 5929 §4. */
  | { readonly kind: 'tls-server-end-point'; readonly data: Buffer };

export const KEY_BYTES = 32;
const USER_SALT_BYTES = 16;
/** RFC 5802 "printable": visible ASCII but the comma. */
export const NONCE_PATTERN = /^[\x21-\x2b\x2d-\x7e]+$/;
const VERIFIER_PATTERN = /^SCRAM-SHA-256\$(\d{1,10}):([A-Za-z0-9+/=]+)\$([^:]+):([^:]+)$/;

const pbkdf2Async = promisify(pbkdf2);

/** Derives the keys of a password, off the event loop; milliseconds at 4096 iterations. */
export async function deriveKeys(
  password: string,
  salt: Buffer,
  iterations: number,
): Promise<ScramKeys> {
  const salted = await pbkdf2Async(
    preparePassword(password),
    salt,
    iterations,
    KEY_BYTES,
    'sha256',
  );
  return Object.freeze({
    clientKey: hmacSha256(salted, 'Client Key'),
    serverKey: hmacSha256(salted, 'Server Key'),
  });
}

export function verifierFromKeys(keys: ScramKeys, salt: Buffer, iterations: number): ScramVerifier {
  const storedKey = sha256(keys.clientKey);
  return Object.freeze({ iterations, salt, storedKey, serverKey: keys.serverKey });
}

/** Reads pg_authid.rolpassword; undefined when it is no SCRAM-SHA-256 verifier. */
export function parseVerifier(text: string): ScramVerifier | undefined {
  const match = VERIFIER_PATTERN.exec(text);
  if (match === null) return undefined;
  const [iterations, salt, storedKey, serverKey] = [
    Number(match[1]),
    decodeBase64(match[2] ?? ''),
    decodeBase64(match[3] ?? ''),
    decodeBase64(match[4] ?? ''),
  ];
  if (salt === undefined || salt.length > SCRAM_SALT_BYTES_MAX) return undefined;
  if (storedKey?.length !== KEY_BYTES || serverKey?.length !== KEY_BYTES) return undefined;
  if (iterations < 1 || iterations > 0x7fffffff) return undefined;
  return Object.freeze({ iterations, salt, storedKey, serverKey });
}

export function formatVerifier(verifier: ScramVerifier): string {
  const salt = verifier.salt.toString('base64');
  const storedKey = verifier.storedKey.toString('base64');
  const serverKey = verifier.serverKey.toString('base64');
  return `${SCRAM_SHA_256}$${verifier.iterations}:${salt}$${storedKey}:${serverKey}`;
}

export interface SaltOf {
  /** The same on every proxy: nobody's salt may change from login to login. */
  readonly fleetSecret: Buffer;
  readonly tenant: string;
  readonly user: string;
}

/** The salt of a user, whether there is one of that name or not. */
export function userSalt({ fleetSecret, tenant, user }: SaltOf): Buffer {
  // Neither name can hold a zero byte, so no two pairs make the same text.
  const text = `salt\0${tenant.toLowerCase()}\0${user}`;
  return hmacSha256(fleetSecret, text).subarray(0, USER_SALT_BYTES);
}

/** Of this process, and never shown: clients see a verifier's salt and rounds alone. */
const MOCK_KEYS = { storedKey: randomBytes(KEY_BYTES), serverKey: randomBytes(KEY_BYTES) };

/**
 * A verifier for who does not exist: looks like a real one, costs no more and no less to check
 * against, and no proof fits it.
 */
export function mockVerifier(salt: Buffer, iterations: number): ScramVerifier {
  return Object.freeze({ iterations, salt, ...MOCK_KEYS });
}

/** The nonce of one exchange. @param random at least 18 bytes nobody has seen. */
export function scramNonce(random: Buffer): string {
  return random.toString('base64');
}

/** SASLprep; what it prohibits is taken as it is, as PostgreSQL does on both sides. */
export function preparePassword(password: string): string {
  try {
    return saslprep(password) || password;
  } catch {
    return password;
  }
}

export function sha256(data: Buffer): Buffer {
  const digest = Buffer.alloc(KEY_BYTES);
  // As text, as in hmac-sha256.ts.
  digest.write(hash('sha256', data, 'binary'), 'latin1');
  return digest;
}

/** Of two keys, signatures or proofs. */
export function xor(left: Buffer, right: Buffer): Buffer {
  const result = Buffer.alloc(KEY_BYTES);
  for (let i = 0; i < KEY_BYTES; i++) result[i] = (left[i] as number) ^ (right[i] as number);
  return result;
}

/** Strict: undefined unless an encoder makes exactly this text of its bytes, at least one. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length > 0 && bytes.toString('base64') === text ? bytes : undefined;
}

/** `p=…`, `y` or `n`, and no authorization identity. */
export function gs2Header(binding: ChannelBinding): string {
  switch (binding.kind) {
    case 'none':
      return 'n,,';
    case 'not_offered':
      return 'y,,';
    case 'tls-server-end-point':
      return 'p=tls-server-end-point,,';
    default:
      return unreachable(binding);
  }
}

/** The value of the `c` attribute: header and binding data, base64. */
export function bindingAttribute(binding: ChannelBinding): string {
  switch (binding.kind) {
    case 'none':
      return 'biws';
    case 'not_offered':
      return 'eSws';
    case 'tls-server-end-point':
      return Buffer.concat([Buffer.from(gs2Header(binding)), binding.data]).toString('base64');
    default:
      return unreachable(binding);
  }
}

/**
 * The text of a received message, as latin1: a proof over it is over the very bytes received.
 * @throws WireError when it is longer than any SCRAM message, or holds a zero byte.
 */
export function messageText(what: string, message: Buffer): string {
  if (message.length > SCRAM_MESSAGE_BYTES_MAX) {
    throw new WireError(
      `SCRAM ${what}: ${message.length} bytes, ${SCRAM_MESSAGE_BYTES_MAX} is the limit`,
    );
  }
  const zero = message.indexOf(0);
  if (zero !== -1) {
    throw new WireError(`SCRAM ${what}: zero byte at ${zero} of ${message.length} bytes`);
  }
  return message.toString('latin1');
}

/** Walks the comma-separated `letter=value` attributes of one message. */
export class AttributeReader {
  readonly #what: string;
  readonly #text: string;
  #at: number;

  /** @param at where the attributes begin in the message. */
  constructor(what: string, text: string, at = 0) {
    this.#what = what;
    this.#text = text;
    this.#at = at;
  }

  get atEnd(): boolean {
    return this.#at > this.#text.length;
  }

  /** Where the next attribute begins in the message. */
  get at(): number {
    return this.#at;
  }

  /** The value of the next attribute. @throws WireError when that is another one. */
  take(letter: string): string {
    const [found, value] = this.#next();
    if (found !== letter) this.refuse(`attribute "${letter}" expected, "${found}" found`);
    return value;
  }

  /** Whether the next attribute is `letter`. */
  sees(letter: string): boolean {
    return this.#text.startsWith(`${letter}=`, this.#at);
  }

  /** Steps over one optional extension. */
  skip(): void {
    this.#next();
  }

  refuse(problem: string): never {
    throw new WireError(`SCRAM ${this.#what}: ${problem}`);
  }

  #next(): [letter: string, value: string] {
    const comma = this.#text.indexOf(',', this.#at);
    const end = comma === -1 ? this.#text.length : comma;
    const attribute = /^([A-Za-z])=(.*)$/s.exec(this.#text.slice(this.#at, end));
    if (attribute === null) this.refuse(`no attribute at character ${this.#at}`);
    this.#at = end + 1;
    return [attribute[1] as string, attribute[2] as string];
  }
}
