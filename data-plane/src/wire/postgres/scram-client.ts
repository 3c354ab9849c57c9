/**
 * The client's role in SCRAM-SHA-256: proves to a database server that the proxy knows the
 * password, and has the server prove the same.
 * Owns: the exchange. Leaves: keys to its caller (derived from a password, or recovered from a
 * client's proof), framing to frontend-messages.ts and authentication-messages.ts.
 * Source: RFC 5802 §5 to §7; the same refusals as PostgreSQL 18, interfaces/libpq/fe-auth-scram.c.
 */
import { timingSafeEqual } from 'node:crypto';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { hmacSha256 } from '../hmac-sha256.ts';
import { SCRAM_ITERATIONS_MAX, SCRAM_SALT_BYTES_MAX } from './limits.ts';
import {
  AttributeReader,
  bindingAttribute,
  decodeBase64,
  gs2Header,
  KEY_BYTES,
  messageText,
  NONCE_PATTERN,
  SCRAM_SHA_256,
  SCRAM_SHA_256_PLUS,
  sha256,
  xor,
} from './scram.ts';
import type { ChannelBinding, ScramKeys, ScramMechanism } from './scram.ts';

export interface ScramChoice {
  readonly mechanism: ScramMechanism;
  readonly binding: ChannelBinding;
}

/**
 * The best mechanism a server offers; undefined when it offers neither.
 * @param endPoint the hash of the server's certificate; absent without TLS.
 */
export function chooseMechanism(
  offered: readonly string[],
  endPoint?: Buffer,
): ScramChoice | undefined {
  if (endPoint !== undefined && offered.includes(SCRAM_SHA_256_PLUS)) {
    const binding = { kind: 'tls-server-end-point', data: endPoint } as const;
    return { mechanism: SCRAM_SHA_256_PLUS, binding };
  }
  if (!offered.includes(SCRAM_SHA_256)) return undefined;
  const kind = endPoint === undefined ? 'none' : 'not_offered';
  return { mechanism: SCRAM_SHA_256, binding: { kind } };
}

export interface ScramClientOptions {
  readonly binding: ChannelBinding;
  /** New for every exchange: `scramNonce(randomBytes(18))`. */
  readonly nonce: string;
  /** Derives the keys of the password, or gives those that are known already. */
  readonly keysFor: (salt: Buffer, iterations: number) => ScramKeys | Promise<ScramKeys>;
  /** Default is empty, as libpq sends it: PostgreSQL takes the startup packet's. */
  readonly user?: string;
}

type Step =
  | { readonly at: 'client-first' }
  | { readonly at: 'server-first'; readonly bare: string }
  | { readonly at: 'server-final'; readonly signature: Buffer }
  | { readonly at: 'done' };

const SERVER_FIRST = 'server-first-message';
const SERVER_FINAL = 'server-final-message';

export class ScramClient {
  readonly #options: ScramClientOptions;
  #step: Step = { at: 'client-first' };

  constructor(options: ScramClientOptions) {
    assert(NONCE_PATTERN.test(options.nonce), 'a SCRAM nonce is visible ASCII without a comma');
    this.#options = options;
  }

  /** The client-first-message, for SASLInitialResponse. */
  first(): string {
    assert(this.#step.at === 'client-first', 'first() comes once, first');
    const { binding, nonce, user = '' } = this.#options;
    const bare = `n=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
    this.#step = { at: 'server-first', bare };
    return gs2Header(binding) + bare;
  }

  /**
   * Takes the server-first-message, gives the client-final-message for SASLResponse.
   * @throws WireError, also when the server asks for more iterations than SCRAM_ITERATIONS_MAX;
   *   what `keysFor` throws.
   */
  async final(message: Buffer): Promise<string> {
    const step = this.#step;
    assert(step.at === 'server-first', 'final() comes once, after first()');
    this.#step = { at: 'done' };
    const serverFirst = messageText(SERVER_FIRST, message);
    const { nonce, salt, iterations } = readServerFirst(serverFirst, this.#options.nonce);
    const { clientKey, serverKey } = await this.#options.keysFor(salt, iterations);
    const withoutProof = `c=${bindingAttribute(this.#options.binding)},r=${nonce}`;
    const authMessage = `${step.bare},${serverFirst},${withoutProof}`;
    const proof = xor(clientKey, hmacSha256(sha256(clientKey), authMessage));
    this.#step = { at: 'server-final', signature: hmacSha256(serverKey, authMessage) };
    return `${withoutProof},p=${proof.toString('base64')}`;
  }

  /**
   * Takes the server-final-message. @throws WireError unless the server has proved that it knows
   * the password.
   */
  verify(message: Buffer): void {
    const step = this.#step;
    assert(step.at === 'server-final', 'verify() comes once, after final()');
    this.#step = { at: 'done' };
    const reader: AttributeReader = new AttributeReader(
      SERVER_FINAL,
      messageText(SERVER_FINAL, message),
    );
    if (reader.sees('e')) reader.refuse(`the server refused: ${reader.take('e')}`);
    const signature = decodeBase64(reader.take('v'));
    if (!reader.atEnd) reader.refuse('more follows the signature');
    if (signature?.length !== KEY_BYTES || !timingSafeEqual(signature, step.signature)) {
      reader.refuse('the server does not know the password');
    }
  }
}

function readServerFirst(
  text: string,
  clientNonce: string,
): { nonce: string; salt: Buffer; iterations: number } {
  const reader: AttributeReader = new AttributeReader(SERVER_FIRST, text);
  if (reader.sees('m')) reader.refuse('a mandatory extension is not supported');
  const nonce = reader.take('r');
  if (!nonce.startsWith(clientNonce) || nonce.length === clientNonce.length) {
    reader.refuse('the nonce does not continue ours');
  }
  if (!NONCE_PATTERN.test(nonce)) reader.refuse('the nonce is not printable');
  const salt = decodeBase64(reader.take('s'));
  if (salt === undefined) reader.refuse('the salt is not base64');
  if (salt.length > SCRAM_SALT_BYTES_MAX) {
    reader.refuse(`a salt of ${salt.length} bytes, ${SCRAM_SALT_BYTES_MAX} is the limit`);
  }
  const count = reader.take('i');
  if (!/^[1-9]\d{0,9}$/.test(count)) reader.refuse('the iteration count is not a positive number');
  const iterations = Number(count);
  if (iterations > SCRAM_ITERATIONS_MAX) {
    reader.refuse(`${iterations} iterations, ${SCRAM_ITERATIONS_MAX} is the limit`);
  }
  if (!reader.atEnd) reader.refuse('more follows the iteration count');
  return { nonce, salt, iterations };
}
