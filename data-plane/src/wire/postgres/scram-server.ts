/**
 * The server's role in SCRAM-SHA-256: checks a client's proof against a verifier.
 * Owns: the exchange after SASLInitialResponse. Leaves: which verifier (a mock for who does not
 * exist), the nonce and the channel's binding data to its caller; framing to
 * authentication-messages.ts and frontend-messages.ts.
 * Source: RFC 5802 §5 to §7; the same refusals as PostgreSQL 18, libpq/auth-scram.c.
 */
import { timingSafeEqual } from 'node:crypto';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { hmacSha256 } from '../hmac-sha256.ts';
import {
  AttributeReader,
  bindingAttribute,
  decodeBase64,
  gs2Header,
  KEY_BYTES,
  messageText,
  NONCE_PATTERN,
  SCRAM_SHA_256_PLUS,
  sha256,
  xor,
} from './scram.ts';
import type { ChannelBinding, ScramMechanism, ScramVerifier } from './scram.ts';

export interface ScramServerOptions {
  /** What the client chose among the offered. */
  readonly mechanism: ScramMechanism;
  readonly verifier: ScramVerifier;
  /** New for every exchange: `scramNonce(randomBytes(18))`. */
  readonly nonce: string;
  /** The hash of this connection's certificate if -PLUS was offered; absent if it was not. */
  readonly endPoint?: Buffer;
}

export type ScramVerdict =
  /** `clientKey` logs in wherever the verifier is the same: keep it in memory only. */
  | { readonly outcome: 'accepted'; readonly serverFinal: string; readonly clientKey: Buffer }
  /** The password is wrong, or the verifier a mock: the two cannot be told apart. */
  | { readonly outcome: 'refused' };

type Step =
  | { readonly at: 'client-first' }
  | {
      readonly at: 'client-final';
      readonly binding: ChannelBinding;
      readonly nonce: string;
      /** client-first-message-bare "," server-first-message */
      readonly firstMessages: string;
    }
  | { readonly at: 'done' };

const FIRST = 'client-first-message';
const FINAL = 'client-final-message';

export class ScramServer {
  readonly #options: ScramServerOptions;
  #step: Step = { at: 'client-first' };

  constructor(options: ScramServerOptions) {
    assert(NONCE_PATTERN.test(options.nonce), 'a SCRAM nonce is visible ASCII without a comma');
    const { mechanism, endPoint } = options;
    assert(
      mechanism !== SCRAM_SHA_256_PLUS || endPoint !== undefined,
      'a client can only choose -PLUS if it was offered, which takes binding data',
    );
    this.#options = options;
  }

  /** Takes the client-first-message, gives the server-first-message. @throws WireError */
  first(message: Buffer): string {
    assert(this.#step.at === 'client-first', 'first() comes once, before final()');
    const text = messageText(FIRST, message);
    const binding = readBinding(text, this.#options);
    const bareStart = gs2Header(binding).length;
    const clientNonce = readClientNonce(text, bareStart);
    const { salt, iterations } = this.#options.verifier;
    const nonce = clientNonce + this.#options.nonce;
    const serverFirst = `r=${nonce},s=${salt.toString('base64')},i=${iterations}`;
    const firstMessages = `${text.slice(bareStart)},${serverFirst}`;
    this.#step = { at: 'client-final', binding, nonce, firstMessages };
    return serverFirst;
  }

  /**
   * Takes the client-final-message; the exchange is over.
   * @throws WireError for a message that breaks the protocol, is for another exchange, or bound to
   *   another channel.
   */
  final(message: Buffer): ScramVerdict {
    const step = this.#step;
    assert(step.at === 'client-final', 'final() comes once, after first()');
    this.#step = { at: 'done' };
    const text = messageText(FINAL, message);
    const { proof, withoutProof } = readClientFinal(text, step.binding, step.nonce);
    const { storedKey, serverKey } = this.#options.verifier;
    const authMessage = `${step.firstMessages},${withoutProof}`;
    const clientKey = xor(proof, hmacSha256(storedKey, authMessage, 'latin1'));
    if (!timingSafeEqual(sha256(clientKey), storedKey)) return { outcome: 'refused' };
    const signature = hmacSha256(serverKey, authMessage, 'latin1').toString('base64');
    return { outcome: 'accepted', serverFinal: `v=${signature}`, clientKey };
  }
}

/** Reads the gs2 header, which must agree with the chosen mechanism and with the offer. */
function readBinding(text: string, { mechanism, endPoint }: ScramServerOptions): ChannelBinding {
  const reader: AttributeReader = new AttributeReader(FIRST, text);
  const header = /^(?:([ny])|p=([^,]*)),([^,]*),/.exec(text);
  if (header === null) reader.refuse('no gs2 header at character 0');
  const [, flag, bindingType, authorizationIdentity] = header;
  if (authorizationIdentity !== '') {
    reader.refuse('an authorization identity is not supported');
  }
  const chosePlus = mechanism === SCRAM_SHA_256_PLUS;
  if (flag !== undefined) {
    if (chosePlus) reader.refuse(`${mechanism} was chosen, and no channel binding sent`);
    if (flag === 'n') return { kind: 'none' };
    // The client could bind, and believes it was not offered -PLUS: somebody took that away.
    if (endPoint !== undefined) reader.refuse('the offer of channel binding did not arrive');
    return { kind: 'not_offered' };
  }
  if (!chosePlus || endPoint === undefined) {
    reader.refuse(`${mechanism} was chosen, and channel binding sent`);
  }
  if (bindingType !== 'tls-server-end-point') {
    reader.refuse('the only channel binding is tls-server-end-point');
  }
  return { kind: 'tls-server-end-point', data: endPoint };
}

/** The user name is not looked at: the startup packet's counts, and libpq sends none. */
function readClientNonce(text: string, bareStart: number): string {
  const reader: AttributeReader = new AttributeReader(FIRST, text, bareStart);
  if (reader.sees('m')) reader.refuse('a mandatory extension is not supported');
  reader.take('n');
  const nonce = reader.take('r');
  if (!NONCE_PATTERN.test(nonce)) reader.refuse('the nonce is empty or not printable');
  while (!reader.atEnd) reader.skip();
  return nonce;
}

function readClientFinal(
  text: string,
  binding: ChannelBinding,
  nonce: string,
): { proof: Buffer; withoutProof: string } {
  const reader: AttributeReader = new AttributeReader(FINAL, text);
  if (reader.take('c') !== bindingAttribute(binding)) reader.refuse('the channel is another one');
  if (reader.take('r') !== nonce) reader.refuse('the nonce is another one');
  while (!reader.sees('p')) {
    if (reader.sees('m')) reader.refuse('a mandatory extension is not supported');
    reader.skip();
  }
  const withoutProof = text.slice(0, reader.at - 1);
  const proof = decodeBase64(reader.take('p'));
  if (proof?.length !== KEY_BYTES) reader.refuse(`the proof is not base64 of ${KEY_BYTES} bytes`);
  if (!reader.atEnd) reader.refuse('more follows the proof');
  return { proof, withoutProof };
}
