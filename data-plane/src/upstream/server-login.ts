/**
 * The client's role in a login to a PostgreSQL server, from the startup packet to ReadyForQuery.
 * Owns: protocol version, authentication, the cancel key. Leaves: the connection to
 * connect-postgres.ts.
 * Source: PostgreSQL manual, "Start-up", "SASL Authentication"; md5 and cleartext as the server
 * asks for.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { serverEndPoint } from '../tls/end-point.ts';
import { decodeAuthentication } from '../wire/postgres/authentication-messages.ts';
import {
  BACKEND,
  decodeBackendKeyData,
  decodeErrorFields,
  decodeNegotiateProtocolVersion,
} from '../wire/postgres/backend-messages.ts';
import type { NegotiateProtocolVersion } from '../wire/postgres/backend-messages.ts';
import {
  encodePasswordMessage,
  encodeSASLInitialResponse,
  encodeSASLResponse,
} from '../wire/postgres/frontend-messages.ts';
import { md5Answer } from '../wire/postgres/md5.ts';
import { scramNonce } from '../wire/postgres/scram.ts';
import { chooseMechanism, ScramClient } from '../wire/postgres/scram-client.ts';
import { encodeStartupMessage } from '../wire/postgres/startup-message.ts';
import { WireError } from '../wire/wire-error.ts';
import type { BackendMessage, Conversation } from './conversation.ts';
import type { Credential } from './credential.ts';
import { cleartextRefused, refusedLogin } from './dial-errors.ts';
import type { DialStep, Dialled, Secrecy } from './dial-errors.ts';
import { isSocketFolder } from './endpoint.ts';
import type { PostgresBackend } from './postgres-backend.ts';
import { assertSlot } from './slot-gone.ts';
import type { ServerEvents } from './upstream.ts';

const NONCE_BYTES = 18;

export interface LoginOptions extends Dialled {
  readonly database: string;
  readonly applicationName: string;
  /** Where a server that asks for the password itself is given it. */
  readonly cleartext: PoolSettings['serverCleartext'];
  /** Asked before each packet: a process that was stopped meanwhile may have lost its slot. */
  readonly events: ServerEvents;
}

export interface LoginWay {
  readonly secrecy: Secrecy;
  /** Hears what the login is in the middle of. */
  readonly reached: (step: DialStep) => void;
}

/**
 * Resolves when the server is ready for queries.
 * @throws AppError UPSTREAM_REFUSED | CLEARTEXT_REFUSED; UnfitCredential, WireError,
 * ConversationLost, SlotGone
 */
export async function logIn(
  backend: PostgresBackend,
  conversation: Conversation,
  credential: Credential,
  options: LoginOptions,
  way: LoginWay,
): Promise<void> {
  const { user, database, applicationName } = options;
  assertSlot(options.events);
  backend.write(
    encodeStartupMessage({
      parameters: [
        ['user', user],
        ['database', database],
        ['application_name', applicationName],
      ],
    }),
  );
  const login = { backend, conversation, credential, options, secrecy: way.secrecy };
  let stage: DialStep = 'startup';
  way.reached(stage);
  for (;;) {
    const message = await conversation.next();
    switch (message.type) {
      case BACKEND.Authentication:
        way.reached((stage = 'authentication'));
        await answer(login, message);
        break;
      case BACKEND.BackendKeyData:
        backend.key = decodeBackendKeyData(message.body);
        break;
      case BACKEND.NegotiateProtocolVersion:
        acceptVersion(decodeNegotiateProtocolVersion(message.body));
        break;
      case BACKEND.ErrorResponse:
        throw refusedLogin(options, decodeErrorFields(message.body), stage);
      case BACKEND.ReadyForQuery:
        return;
      default:
        throw new WireError(`message type ${message.type} is not part of a login`);
    }
  }
}

/**
 * The proxy asks for 3.0, which every server speaks; a longer cancel key would only go from the
 * proxy to the server. A server that names what it does not know has nothing more to offer.
 */
function acceptVersion({ major, minor }: NegotiateProtocolVersion): void {
  if (major === 3 && minor === 0) return;
  throw new WireError(`the server speaks protocol ${major}.${minor}, and not 3.0`);
}

interface ServerLogin extends Pick<LoginWay, 'secrecy'> {
  readonly backend: PostgresBackend;
  readonly conversation: Conversation;
  readonly credential: Credential;
  readonly options: LoginOptions;
}

/** Answers what the server asks for; SCRAM is a conversation of its own. */
async function answer(login: ServerLogin, message: BackendMessage): Promise<void> {
  const { backend, credential, options } = login;
  const asked = decodeAuthentication(message.body);
  if (asked.kind !== 'Ok') assertSlot(options.events);
  switch (asked.kind) {
    case 'Ok':
      return;
    case 'CleartextPassword':
      if (!mayShowPassword(login)) throw cleartextRefused(options, login.secrecy);
      backend.write(encodePasswordMessage(credential.password()));
      return;
    case 'MD5Password': {
      const verifier = credential.md5Verifier(options.user);
      backend.write(encodePasswordMessage(md5Answer(verifier, asked.salt)));
      return;
    }
    case 'SASL':
      return scram(login, asked.mechanisms);
    case 'SASLContinue':
    case 'SASLFinal':
      throw new WireError('a SASL message outside of a SASL exchange');
    case 'unsupported': {
      const text = `authentication method ${asked.code} is not supported by the proxy`;
      throw unsupportedMethod(options, text);
    }
  }
}

const SECRET_ENOUGH: Readonly<Record<LoginOptions['cleartext'], readonly Secrecy[]>> =
  Object.freeze({
    over_verified_tls: ['verified'],
    over_tls: ['verified', 'encrypted'],
    anywhere: ['verified', 'encrypted', 'clear'],
  });

/** What is said through a socket file does not leave the machine. */
function mayShowPassword({ secrecy, options }: ServerLogin): boolean {
  if (isSocketFolder(options.tenant.host)) return true;
  return SECRET_ENOUGH[options.cleartext].includes(secrecy);
}

async function scram(login: ServerLogin, offered: readonly string[]): Promise<void> {
  const { backend, credential, options } = login;
  const choice = chooseMechanism(offered, endPointOf(backend.socket));
  if (choice === undefined) {
    const text = `none of the server's SASL mechanisms is supported: ${offered.join(', ')}`;
    throw unsupportedMethod(options, text);
  }
  const client = new ScramClient({
    binding: choice.binding,
    nonce: scramNonce(randomBytes(NONCE_BYTES)),
    keysFor: (salt, iterations) => credential.keys(salt, iterations),
  });
  backend.write(encodeSASLInitialResponse(choice.mechanism, client.first()));
  const clientFinal = await client.final(await saslData(login, 'SASLContinue'));
  assertSlot(options.events);
  backend.write(encodeSASLResponse(clientFinal));
  client.verify(await saslData(login, 'SASLFinal'));
}

/** What the exchange is bound to: the certificate of the server. */
function endPointOf(socket: Socket): Buffer | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined ? undefined : serverEndPoint(certificate.raw);
}

async function saslData(
  { conversation, options }: ServerLogin,
  expected: 'SASLContinue' | 'SASLFinal',
): Promise<Buffer> {
  const { type, body } = await conversation.next();
  if (type === BACKEND.ErrorResponse)
    throw refusedLogin(options, decodeErrorFields(body), 'authentication');
  if (type === BACKEND.Authentication) {
    const message = decodeAuthentication(body);
    if (message.kind === expected) return message.data;
  }
  throw new WireError(`${expected} expected from the server`);
}

function unsupportedMethod(options: LoginOptions, message: string): AppError {
  return refusedLogin(options, { severity: 'FATAL', code: '0A000', message }, 'authentication');
}
