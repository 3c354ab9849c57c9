/**
 * Seals secrets for rest and travel, and opens them. Owns: the cipher and its associated data.
 * Leaves: keys to master-key.ts and key-source.ts, the shape of a secret to contract/secret.ts.
 * Source: NIST SP 800-38D (GCM; 96-bit random nonces, one key for far fewer than 2^32 secrets).
 */
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import type { Stats } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import type { Secret } from '../contract/secret.ts';
import { sharedErrors } from '../errors.ts';
import { unreachable } from '../kernel/assert.ts';
import { tenantKey } from '../kernel/ids.ts';
import { deriveKey } from './master-key.ts';
import type { MasterKey } from './master-key.ts';
import type { KeySource } from './key-source.ts';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const OWN_ENV_PREFIX = 'DBBOUNCER_';

type Sealed = Extract<Secret, { kind: 'sealed' }>;

/** Environment variables by name, for secrets that are references. */
export type ReadEnv = (name: string) => string | undefined;

export class Keyring {
  readonly #source: KeySource;
  readonly #readEnv: ReadEnv;
  #keys: readonly MasterKey[];

  /** @throws SETTINGS_INVALID when the source holds something that is not a key. */
  constructor(source: KeySource, readEnv: ReadEnv) {
    this.#source = source;
    this.#readEnv = readEnv;
    this.#keys = source.read();
  }

  /** The id of the key that seals, or nothing while there is no key. */
  get primaryKeyId(): string | undefined {
    return this.#keys[0]?.id;
  }

  /**
   * Reads the source again; what was sealed from now on is sealed with what it holds now.
   * @returns the id of the key that seals.
   * @throws SECRET_UNAVAILABLE when it cannot be read or holds no key; the keys stay then.
   */
  reload(): string {
    this.#reload();
    return this.#primary().id;
  }

  /**
   * Seals `clear` for one tenant; for another tenant it cannot be opened.
   * @throws SECRET_UNAVAILABLE when there is no key.
   */
  seal(clear: string, tenantId: string): Secret {
    const key = this.#primary();
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, sealingKeyOf(key), nonce);
    cipher.setAAD(associatedData(tenantId));
    const body = Buffer.concat([cipher.update(clear, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return Object.freeze({
      kind: 'sealed',
      keyId: key.id,
      nonce: nonce.toString('base64'),
      ciphertext: body.toString('base64'),
    });
  }

  /**
   * The clear text, which the caller keeps no longer than it needs. A key file that changed is read
   * again.
   * @param what of the tenant it is, for errors.
   * @throws SECRET_UNAVAILABLE naming the key, variable or file that is missing; never the secret.
   */
  open(secret: Secret, tenantId: string, what = 'password'): string {
    const whose = `the ${what} of tenant "${tenantId}"`;
    switch (secret.kind) {
      case 'sealed':
        return this.#unseal(secret, tenantId, whose);
      case 'env':
        return this.#fromEnv(secret.name, whose);
      case 'file':
        return this.#fromFile(secret.path, whose);
      default:
        return unreachable(secret);
    }
  }

  /**
   * 32 bytes that every process with the same primary key derives alike, and nobody else.
   * @throws SECRET_UNAVAILABLE when there is no key.
   */
  deriveFleetSecret(purpose: string): Buffer {
    return deriveKey(this.#primary(), `fleet/${purpose}`);
  }

  /**
   * What `deriveFleetSecret` gives with each key that the source holds now, the primary one first:
   * what others have derived while another was primary.
   * @throws SECRET_UNAVAILABLE when it cannot be read or holds no key.
   */
  deriveFleetSecrets(purpose: string): readonly Buffer[] {
    this.reload();
    return this.#keys.map((key) => deriveKey(key, `fleet/${purpose}`));
  }

  #primary(): MasterKey {
    if (this.#keys.length === 0) this.#reload();
    const key = this.#keys[0];
    if (key === undefined) throw unavailable(`there is no master key at ${this.#source.name}`);
    return key;
  }

  #unseal(secret: Sealed, tenantId: string, whose: string): string {
    const known = decrypt(this.#find(secret.keyId), secret, tenantId);
    if (known !== undefined) return known;
    this.#reload();
    const key = this.#find(secret.keyId);
    const clear = decrypt(key, secret, tenantId);
    if (clear !== undefined) return clear;
    const where = `the master key "${secret.keyId}" at ${this.#source.name}`;
    throw unavailable(
      key === undefined
        ? `${whose} needs ${where}, which is not there`
        : `${whose} does not open with ${where}: a wrong key or data`,
    );
  }

  #fromEnv(name: string, whose: string): string {
    if (name.startsWith(OWN_ENV_PREFIX)) throw ownKeys(whose, `variable ${name}`);
    const value = this.#readEnv(name);
    if (value !== undefined && value !== '') return value;
    throw unavailable(`${whose} is the variable ${name}, which is not set here`);
  }

  #fromFile(path: string, whose: string): string {
    const what = `${whose} is in the file ${path}`;
    let secret: string;
    try {
      const real = realpathSync(path);
      if (isBelow(real, this.#source.dataDir) || isBelow(real, '/proc')) {
        throw ownKeys(whose, `file ${path}`);
      }
      secret = readSecretFile(real, this.#source);
    } catch (error) {
      throw sharedErrors.is(error)
        ? error
        : unavailable(`${what}, which cannot be read here`, error);
    }
    if (secret === '') throw unavailable(`${what}, which is empty`);
    return secret;
  }

  #find(id: string): MasterKey | undefined {
    const named = this.#keys.find((key) => key.id === id);
    return named ?? this.#keys.find((key) => key.unnamedId === id);
  }

  /** What cannot be read now leaves the keys that are known in place. */
  #reload(): void {
    try {
      const keys = this.#source.read();
      if (keys.length > 0) this.#keys = keys;
    } catch (error) {
      throw unavailable(`the master key at ${this.#source.name} cannot be read`, error);
    }
  }
}

/** Derived once for each key: deriving takes longer than sealing. Gone with the key itself. */
const sealingKeys = new WeakMap<MasterKey, KeyObject>();

function sealingKeyOf(key: MasterKey): KeyObject {
  const known = sealingKeys.get(key);
  if (known !== undefined) return known;
  const made = createSecretKey(deriveKey(key, 'seal'));
  sealingKeys.set(key, made);
  return made;
}

/** Nothing when the key is missing or does not fit; which of the two is for the caller to say. */
function decrypt(key: MasterKey | undefined, secret: Sealed, tenantId: string): string | undefined {
  if (key === undefined) return undefined;
  const body = Buffer.from(secret.ciphertext, 'base64');
  const nonce = Buffer.from(secret.nonce, 'base64');
  if (body.length < TAG_BYTES || nonce.length !== NONCE_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, sealingKeyOf(key), nonce, {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(associatedData(tenantId));
  decipher.setAuthTag(body.subarray(-TAG_BYTES));
  const clear = decipher.update(body.subarray(0, -TAG_BYTES));
  try {
    return Buffer.concat([clear, decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}

/** No private key is longer; a reference to anything larger is a mistake or an attack. */
const SECRET_FILE_BYTES_MAX = 16_384;
/**
 * Files of a data folder that must not be read as passwords, under whatever name they are linked.
 */
const OWN_FILES = ['master.key', 'api.key', 'dbbouncer.db'];

/**
 * Reads a small regular file. A device or a pipe is refused before a byte is read: it could block
 * the process, or never end.
 */
function readSecretFile(path: string, { dataDir, ownFiles }: KeySource): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const facts = fstatSync(file);
    if (!facts.isFile()) throw new Error('it is not a regular file');
    if (facts.size > SECRET_FILE_BYTES_MAX) {
      throw new Error(`it has ${facts.size} bytes, ${SECRET_FILE_BYTES_MAX} is the limit`);
    }
    const own = [...OWN_FILES.map((name) => join(dataDir, name)), ...ownFiles];
    if (own.some((one) => isSameFile(facts, one))) {
      throw new Error('it is a file of DBBouncer itself');
    }
    const bytes = Buffer.alloc(facts.size);
    return bytes.toString('utf8', 0, readSync(file, bytes)).replace(/\r?\n$/, '');
  } finally {
    closeSync(file);
  }
}

function isSameFile(facts: Stats, path: string): boolean {
  const other = statSync(path, { throwIfNoEntry: false });
  return other !== undefined && other.dev === facts.dev && other.ino === facts.ino;
}

function isBelow(path: string, folder: string): boolean {
  const way = relative(existsSync(folder) ? realpathSync(folder) : folder, path);
  return !way.startsWith('..') && !isAbsolute(way);
}

/**
 * Whoever may write tenants may name any host: it must not be able to have our own keys sent there.
 */
function ownKeys(whose: string, what: string): Error {
  return unavailable(`${whose} is the ${what}, where DBBouncer keeps its own keys`);
}

/** "Acme" and "acme" are one tenant. */
function associatedData(tenantId: string): Buffer {
  return Buffer.from(tenantKey(tenantId), 'utf8');
}

function unavailable(message: string, cause?: unknown): Error {
  return sharedErrors.fail('SECRET_UNAVAILABLE', message, cause === undefined ? {} : { cause });
}
