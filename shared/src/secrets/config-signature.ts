/**
 * Signs what proxies are told, and checks it: with a key that everybody who holds the master key
 * derives from it, or with a key pair of which proxies hold the public half alone.
 * Owns: keys, their ids, what is accepted. Leaves: the form of a signed message to
 * contract/signed-message.ts, what becomes of a refused one to who has received it.
 * Source: RFC 8032 (Ed25519), RFC 8410 (its keys as PKCS #8), RFC 5869 (HKDF).
 */
import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { splitSignature, statementOf, withSignature } from '../contract/signed-message.ts';
import type {
  ConfigSigner,
  ConfigVerifier,
  OpenedMessage,
  SignedKind,
} from '../contract/signed-message.ts';
import { sharedErrors } from '../errors.ts';
import type { Clock } from '../kernel/clock.ts';
import { nextTurn } from '../kernel/steps.ts';

/** `accept_unsigned`: what bears no signature is believed, as from control planes of before. */
export type SignaturePolicy = 'require' | 'accept_unsigned';

/** Keys that may change while the process runs. */
export interface VerifyingKeys {
  /** Where they are from, for people. */
  readonly name: string;
  /** Reads them anew where they stand. @throws whatever keeps them from being read */
  read(): readonly KeyObject[];
}

const SEED_BYTES = 32;
/** What stands before the seed in the PKCS #8 form of an Ed25519 key. */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The key pair that a secret of 32 bytes stands for; the same for everybody who has it. */
export function signingKeyOf(seed: Uint8Array): KeyObject {
  if (seed.byteLength !== SEED_BYTES) throw new RangeError(`a seed has ${SEED_BYTES} bytes`);
  const key = Buffer.concat([PKCS8_HEAD, seed]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}

/** What a key is called: 16 hexadecimal digits, of either half of the pair. */
export function signingKeyId(key: KeyObject): string {
  const half = key.type === 'private' ? createPublicKey(key) : key;
  const bytes = half.export({ format: 'der', type: 'spki' });
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

/** The private key in PEM. @throws SETTINGS_INVALID with `source`, never with what is in it */
export function parseSigningKey(pem: string, source: string): KeyObject {
  const key = parsed(source, () => createPrivateKey(pem));
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw unusable(source, `holds a key for ${key.asymmetricKeyType ?? 'something else'}`);
}

const PUBLIC_KEY = /-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g;
const PUBLIC_KEYS_MAX = 16;

/** The public keys in a PEM text, one or several. @throws SETTINGS_INVALID */
export function parseVerifyingKeys(pem: string, source: string): readonly KeyObject[] {
  const parts = pem.match(PUBLIC_KEY) ?? [];
  if (parts.length === 0) throw unusable(source, 'holds no PUBLIC KEY as PEM');
  if (parts.length > PUBLIC_KEYS_MAX) {
    throw unusable(source, `holds ${parts.length} keys; ${PUBLIC_KEYS_MAX} are allowed`);
  }
  const keys = parts.map((part) => parsed(source, () => createPublicKey(part)));
  if (keys.every(({ asymmetricKeyType }) => asymmetricKeyType === 'ed25519')) return keys;
  throw unusable(source, 'holds a key that is not for Ed25519');
}

/** Signs with what `key` gives at the time: a master key may be another one tomorrow. */
export function configSigner(key: () => KeyObject): ConfigSigner {
  const current = remembered(key);
  return Object.freeze({
    async sign(kind: SignedKind, payload: Uint8Array) {
      const { id, privateKey } = current();
      const statement = statementOf(kind, await digestOf(payload));
      return withSignature(payload, { keyId: id, bytes: sign(null, statement, privateKey) });
    },
    async open(kind: SignedKind, message: Uint8Array) {
      const { id, publicKey } = current();
      return await opened(kind, message, 'require', (keyId) =>
        keyId === id ? publicKey : `which is not the key of this control plane, ${id}`,
      );
    },
  });
}

/** Keys are read again when a message names another, and no oftener than that. */
const READ_AGAIN_AFTER_MS = 5_000;

/** @param keys read at the first message, and again when one names a key that is not among them */
export function configVerifier(
  keys: VerifyingKeys,
  policy: SignaturePolicy,
  clock: Clock,
): ConfigVerifier {
  const known = new KnownKeys(keys, clock);
  return Object.freeze({
    open: (kind: SignedKind, message: Uint8Array) =>
      opened(kind, message, policy, (keyId) => known.find(keyId)),
  });
}

class KnownKeys {
  readonly #source: VerifyingKeys;
  readonly #clock: Clock;
  #keys: ReadonlyMap<string, KeyObject> = new Map();
  #problem: string | undefined;
  #readAtMs = -Infinity;

  constructor(source: VerifyingKeys, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** The key, or why there is none, to end a sentence with. */
  find(keyId: string): KeyObject | string {
    if (!this.#keys.has(keyId)) this.#readAgain();
    const names = [...this.#keys.keys()].join(', ');
    const missing = this.#problem ?? `${this.#source.name} stands for ${names}`;
    return this.#keys.get(keyId) ?? `which is not known here: ${missing}`;
  }

  #readAgain(): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#readAtMs < READ_AGAIN_AFTER_MS) return;
    this.#readAtMs = nowMs;
    try {
      this.#keys = new Map(this.#source.read().map((key) => [signingKeyId(key), key]));
      this.#problem = undefined;
    } catch (error) {
      this.#problem = (error as Error).message;
    }
  }
}

async function opened(
  kind: SignedKind,
  message: Uint8Array,
  policy: SignaturePolicy,
  find: (keyId: string) => KeyObject | string,
): Promise<OpenedMessage> {
  const { signature, payload } = splitSignature(message);
  const refused = (why: string) => ({
    outcome: 'refused' as const,
    reason: `${kind} ${why}`,
    payload,
  });
  if (signature === undefined) {
    return policy === 'accept_unsigned'
      ? { outcome: 'genuine', payload }
      : refused('is not signed, and config_signature is require');
  }
  const key = find(signature.keyId);
  if (typeof key === 'string') return refused(`is signed with key ${signature.keyId}, ${key}`);
  const statement = statementOf(kind, await digestOf(payload));
  return verify(null, statement, key, signature.bytes)
    ? { outcome: 'genuine', payload }
    : refused(`bears a signature of key ${signature.keyId} that is not for its content`);
}

function remembered(read: () => KeyObject) {
  let last: { readonly id: string; readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  return () => {
    const privateKey = read();
    if (last?.privateKey !== privateKey) {
      last = { id: signingKeyId(privateKey), privateKey, publicKey: createPublicKey(privateKey) };
    }
    return last;
  };
}

/** Hashed in less than a millisecond. */
const BYTES_PER_STEP = 512 * 1024;

/** With rests between the parts of what is large. */
async function digestOf(payload: Uint8Array): Promise<Buffer> {
  const hash = createHash('sha256');
  for (let from = 0; from < payload.byteLength; from += BYTES_PER_STEP) {
    if (from > 0) await nextTurn();
    hash.update(payload.subarray(from, from + BYTES_PER_STEP));
  }
  return hash.digest();
}

function parsed<T>(source: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw unusable(source, 'holds no key as PEM that can be used');
  }
}

function unusable(source: string, problem: string): Error {
  return sharedErrors.fail('SETTINGS_INVALID', `${source} ${problem}`, {
    hint:
      'Make a pair with: openssl genpkey -algorithm ed25519 -out config-signing.pem;' +
      ' openssl pkey -in config-signing.pem -pubout -out config-public.pem',
  });
}
