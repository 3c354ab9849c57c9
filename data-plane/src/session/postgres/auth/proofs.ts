/**
 * The conversations in which a client proves that it knows a password.
 * Owns: their messages and order. Leaves: SCRAM's arithmetic to wire/postgres, who is asked and
 * what a failure reads to authenticate.ts.
 * Source: PostgreSQL manual, "Message Flow", "SASL Authentication"; RFC 5802, RFC 7677.
 */
import {
  encodeAuthenticationCleartextPassword,
  encodeAuthenticationMD5Password,
  encodeAuthenticationSASL,
  encodeAuthenticationSASLContinue,
  encodeAuthenticationSASLFinal,
  MD5_SALT_BYTES,
} from '../../../wire/postgres/authentication-messages.ts';
import {
  decodePasswordMessage,
  decodeSASLInitialResponse,
  FRONTEND,
} from '../../../wire/postgres/frontend-messages.ts';
import { SCRAM_SHA_256, SCRAM_SHA_256_PLUS, scramNonce } from '../../../wire/postgres/scram.ts';
import type { ScramMechanism, ScramVerifier } from '../../../wire/postgres/scram.ts';
import { ScramServer } from '../../../wire/postgres/scram-server.ts';
import type { ScramVerdict } from '../../../wire/postgres/scram-server.ts';
import { WireError } from '../../../wire/wire-error.ts';
import type { LoginReader } from '../login-reader.ts';
import { unseenBytes } from '../unseen-bytes.ts';

const NONCE_BYTES = 18;

/** Which mechanisms a client may choose from, and how it is told. */
interface Offer {
  readonly mechanisms: readonly ScramMechanism[];
  readonly message: Buffer;
}

const UNBOUND = offerOf([SCRAM_SHA_256]);
const BOUND = offerOf([SCRAM_SHA_256_PLUS, SCRAM_SHA_256]);

function offerOf(mechanisms: readonly ScramMechanism[]): Offer {
  return Object.freeze({ mechanisms, message: encodeAuthenticationSASL(mechanisms) });
}

/** @throws WireError, ClientGone */
export async function proveByScram(
  reader: LoginReader,
  verifier: ScramVerifier,
): Promise<ScramVerdict> {
  const { endPoint } = reader.channel ?? {};
  const offer = endPoint === undefined ? UNBOUND : BOUND;
  reader.say(offer.message);
  const initial = decodeSASLInitialResponse(await reader.message(FRONTEND.Password));
  const mechanism = offer.mechanisms.find((name) => name === initial.mechanism);
  if (mechanism === undefined) {
    throw new WireError(`SASL mechanism "${initial.mechanism}" was not offered`);
  }
  const nonce = scramNonce(unseenBytes(NONCE_BYTES));
  const binding = endPoint === undefined ? {} : { endPoint };
  const scram = new ScramServer({ mechanism, verifier, nonce, ...binding });
  const serverFirst = scram.first(initial.data ?? (await emptyChallenge(reader)));
  reader.say(encodeAuthenticationSASLContinue(serverFirst));
  const verdict = scram.final(await reader.message(FRONTEND.Password));
  if (verdict.outcome === 'accepted') {
    reader.sayFirst(encodeAuthenticationSASLFinal(verdict.serverFinal));
  }
  return verdict;
}

/** The answer to a challenge; who made it is not known by it. @throws WireError, ClientGone */
export async function askForMd5(
  reader: LoginReader,
): Promise<{ readonly answer: string; readonly challenge: Buffer }> {
  const challenge = unseenBytes(MD5_SALT_BYTES);
  reader.say(encodeAuthenticationMD5Password(challenge));
  return { answer: decodePasswordMessage(await reader.message(FRONTEND.Password)), challenge };
}

/** The password itself. @throws WireError, ClientGone */
export async function askForPassword(reader: LoginReader): Promise<string> {
  reader.say(encodeAuthenticationCleartextPassword());
  return decodePasswordMessage(await reader.message(FRONTEND.Password));
}

/** A client that sent no initial response is asked for it with an empty challenge. */
async function emptyChallenge(reader: LoginReader): Promise<Buffer> {
  reader.say(encodeAuthenticationSASLContinue(''));
  return reader.message(FRONTEND.Password);
}
