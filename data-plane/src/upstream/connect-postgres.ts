/**
 * Opens a PostgreSQL server connection: TCP, TLS, startup, authentication, parameters, cancel key,
 * ReadyForQuery, the tenant's init_sql.
 * Owns: the client's role in a login, and the words a failed one is reported with (the database's
 * own).
 * Source: PostgreSQL manual, "Start-up", "SASL Authentication"; md5 and cleartext as the server
 * asks for.
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { proxyErrors } from '../errors.ts';
import { serverEndPoint } from '../tls/end-point.ts';
import { decodeAuthentication } from '../wire/postgres/authentication-messages.ts';
import {
  BACKEND,
  decodeBackendKeyData,
  decodeErrorFields,
  decodeNegotiateProtocolVersion,
} from '../wire/postgres/backend-messages.ts';
import type { ErrorFields, NegotiateProtocolVersion } from '../wire/postgres/backend-messages.ts';
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
import { Conversation, ServerError } from './conversation.ts';
import { connectTo, isSocketFolder } from './endpoint.ts';
import type { BackendMessage } from './conversation.ts';
import { UnfitCredential } from './credential.ts';
import type { Credential } from './credential.ts';
import { initSession } from './init-session.ts';
import { PostgresBackend } from './postgres-backend.ts';
import { negotiate, WAYS } from './server-socket.ts';
import type { Way } from './server-socket.ts';
import type { ServerTls, ServerTlsStore } from './server-tls.ts';
import { tlsFailure } from './tls-failure.ts';
import type { TlsFailure } from './tls-failure.ts';
import type { ServerEvents } from './upstream.ts';

/** pg_hba.conf has no line for this kind of connection. */
const NOT_AUTHORIZED = '28000';
const NONCE_BYTES = 18;

export interface ConnectOptions {
  readonly tenant: TenantConfig;
  readonly database: string;
  readonly user: string;
  /** @throws AppError SECRET_UNAVAILABLE */
  readonly credential: () => Credential;
  readonly serverTls: Pick<ServerTlsStore, 'of'>;
  readonly applicationName: string;
  /** `connect` until TCP is connected, `login` from then until the connection can be used. */
  readonly timeouts: Pick<PoolSettings, 'serverConnectTimeoutMs' | 'serverLoginTimeoutMs'>;
  /** Silence after which the kernel probes whether the server is still there; 0: never. */
  readonly keepaliveIdleMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly events: ServerEvents;
  readonly signal: AbortSignal;
}

/**
 * @throws AppError UPSTREAM_UNREACHABLE | UPSTREAM_TLS_FAILED | UPSTREAM_REFUSED |
 * SECRET_UNAVAILABLE | CREDENTIAL_UNFIT; nothing is left open then
 */
export async function connectPostgres(options: ConnectOptions): Promise<PostgresBackend> {
  const credential = options.credential();
  const tls = serverTls(options);
  // A socket file is on this machine: as with libpq, nothing on it is encrypted.
  const ways = isSocketFolder(options.tenant.host) ? (['clear'] as const) : WAYS[tls.mode];
  let first: unknown;
  for (const way of ways) {
    try {
      return await connectInOneWay(options, credential, tls, way);
    } catch (error) {
      first ??= error;
      if (!mayTryAnotherWay(error)) break;
    }
  }
  throw first;
}

/** @throws AppError SECRET_UNAVAILABLE | UPSTREAM_TLS_FAILED */
function serverTls(options: ConnectOptions): ServerTls {
  try {
    return options.serverTls.of(options.tenant);
  } catch (error) {
    if (error instanceof AppError) throw error;
    const words = `its server_tls cannot be used: ${(error as Error).message}`;
    const hint = 'Check the certificates and the key in server_tls of the tenant.';
    throw tlsFailed(options, { words, hint }, error);
  }
}

/** TLS did not come about, or the server lets nobody in without it, or nobody with it. */
function mayTryAnotherWay(error: unknown): boolean {
  if (!proxyErrors.is(error)) return false;
  const { code, context } = error;
  return code === 'UPSTREAM_TLS_FAILED' || context['sqlState'] === NOT_AUTHORIZED;
}

async function connectInOneWay(
  options: ConnectOptions,
  credential: Credential,
  tls: ServerTls,
  way: Way,
): Promise<PostgresBackend> {
  const transport = await connectSocket(options);
  let established = false;
  const events: ServerEvents = {
    closed: () => {
      if (established) options.events.closed();
    },
  };
  const conversation = new Conversation();
  const abort = () => transport.destroy();
  const { serverLoginTimeoutMs } = options.timeouts;
  const timer = options.clock.after(serverLoginTimeoutMs, () =>
    transport.destroy(
      tooLate('the login did not end', 'server_login_timeout', serverLoginTimeoutMs),
    ),
  );
  options.signal.addEventListener('abort', abort);
  try {
    const socket = await negotiate(transport, tls, way);
    const encryption = socket === transport ? undefined : tls;
    const parts = { socket, sink: conversation, events, tls: encryption };
    const backend = new PostgresBackend({ ...parts, ...about(options) });
    await logIn(backend, conversation, credential, options);
    await initialise(backend, options);
    if (!backend.usable) throw new Error('the server closed the connection');
    established = true;
    return backend;
  } catch (error) {
    transport.destroy();
    if (error instanceof AppError) throw error;
    const failure = tlsFailure(error);
    if (failure !== undefined) throw tlsFailed(options, failure, error);
    throw error instanceof UnfitCredential
      ? unfitCredential(options, error)
      : unreachableServer(options, error);
  } finally {
    timer.cancel();
    options.signal.removeEventListener('abort', abort);
  }
}

function about({ tenant, log }: ConnectOptions) {
  return { address: { host: tenant.host, port: tenant.port }, initSql: tenant.initSql, log };
}

function connectSocket(options: ConnectOptions): Promise<Socket> {
  const { tenant, keepaliveIdleMs, clock, signal } = options;
  const { serverConnectTimeoutMs } = options.timeouts;
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...connectTo(tenant),
      noDelay: true,
      keepAlive: keepaliveIdleMs > 0,
      keepAliveInitialDelay: keepaliveIdleMs,
      signal,
    });
    const timer = clock.after(serverConnectTimeoutMs, () =>
      socket.destroy(tooLate('no answer', 'server_connect_timeout', serverConnectTimeoutMs)),
    );
    const failed = (error: Error) => {
      timer.cancel();
      reject(unreachableServer(options, error));
    };
    socket.once('error', failed);
    socket.once('connect', () => {
      timer.cancel();
      socket.off('error', failed);
      resolve(socket);
    });
  });
}

async function logIn(
  backend: PostgresBackend,
  conversation: Conversation,
  credential: Credential,
  options: ConnectOptions,
): Promise<void> {
  const { user, database, applicationName } = options;
  backend.write(
    encodeStartupMessage({
      parameters: [
        ['user', user],
        ['database', database],
        ['application_name', applicationName],
      ],
    }),
  );
  const login = { backend, conversation, credential, options };
  for (;;) {
    const message = await conversation.next();
    switch (message.type) {
      case BACKEND.Authentication:
        await answer(login, message);
        break;
      case BACKEND.BackendKeyData:
        backend.key = decodeBackendKeyData(message.body);
        break;
      case BACKEND.NegotiateProtocolVersion:
        acceptVersion(decodeNegotiateProtocolVersion(message.body));
        break;
      case BACKEND.ErrorResponse:
        throw refusedLogin(options, decodeErrorFields(message.body));
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

interface ServerLogin {
  readonly backend: PostgresBackend;
  readonly conversation: Conversation;
  readonly credential: Credential;
  readonly options: ConnectOptions;
}

/** Answers what the server asks for; SCRAM is a conversation of its own. */
async function answer(login: ServerLogin, message: BackendMessage): Promise<void> {
  const { backend, credential, options } = login;
  const asked = decodeAuthentication(message.body);
  switch (asked.kind) {
    case 'Ok':
      return;
    case 'CleartextPassword':
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
      throw refusedLogin(options, { severity: 'FATAL', code: '0A000', message: text });
    }
  }
}

async function scram(login: ServerLogin, offered: readonly string[]): Promise<void> {
  const { backend, credential, options } = login;
  const choice = chooseMechanism(offered, endPointOf(backend.socket));
  if (choice === undefined) {
    const text = `none of the server's SASL mechanisms is supported: ${offered.join(', ')}`;
    throw refusedLogin(options, { severity: 'FATAL', code: '0A000', message: text });
  }
  const client = new ScramClient({
    binding: choice.binding,
    nonce: scramNonce(randomBytes(NONCE_BYTES)),
    keysFor: (salt, iterations) => credential.keys(salt, iterations),
  });
  backend.write(encodeSASLInitialResponse(choice.mechanism, client.first()));
  const clientFinal = await client.final(await saslData(login, 'SASLContinue'));
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
  if (type === BACKEND.ErrorResponse) throw refusedLogin(options, decodeErrorFields(body));
  if (type === BACKEND.Authentication) {
    const message = decodeAuthentication(body);
    if (message.kind === expected) return message.data;
  }
  throw new WireError(`${expected} expected from the server`);
}

async function initialise(backend: PostgresBackend, options: ConnectOptions): Promise<void> {
  const { initSql } = backend;
  if (initSql === undefined) return;
  try {
    await initSession(backend, initSql);
  } catch (error) {
    throw error instanceof ServerError ? refusedInit(options, error.fields) : error;
  }
}

function refusedInit({ tenant }: ConnectOptions, fields: ErrorFields): AppError {
  return proxyErrors.fail('UPSTREAM_REFUSED', fields.message, {
    detail: `the init_sql of tenant "${tenant.id}" failed on ${tenant.host}:${tenant.port}`,
    hint: fields.hint ?? 'Correct the init_sql of the tenant.',
    context: { sqlState: fields.code },
  });
}

/** The database's own words, so that nobody has to look into its log. */
function refusedLogin({ tenant }: ConnectOptions, fields: ErrorFields): AppError {
  const where = `${tenant.host}:${tenant.port}`;
  return proxyErrors.fail('UPSTREAM_REFUSED', fields.message, {
    detail: `the database server ${where} of tenant "${tenant.id}" refused the proxy's login`,
    ...(fields.hint === undefined ? {} : { hint: fields.hint }),
    context: { sqlState: fields.code },
  });
}

function tlsFailed(
  { tenant }: ConnectOptions,
  { words, hint }: TlsFailure,
  cause: unknown,
): AppError {
  const message = `the database server of tenant "${tenant.id}" cannot be used: ${words}`;
  const detail = `host ${tenant.host}, port ${tenant.port}`;
  return proxyErrors.fail('UPSTREAM_TLS_FAILED', message, { detail, hint, cause });
}

function tooLate(what: string, setting: string, limitMs: number): Error {
  return new Error(`${what} within ${setting} (${limitMs} ms)`);
}

function unfitCredential({ tenant, user }: ConnectOptions, cause: UnfitCredential): AppError {
  return proxyErrors.fail(
    'CREDENTIAL_UNFIT',
    `the database server of tenant "${tenant.id}" cannot be logged in to as "${user}": ` +
      cause.message,
    {
      detail: `host ${tenant.host}, port ${tenant.port}`,
      hint:
        'Give the proxy the password of this user, or the verifier that the server itself has ' +
        '(rolpassword in pg_authid).',
      cause,
    },
  );
}

function unreachableServer({ tenant }: ConnectOptions, cause: unknown): AppError {
  const words = cause instanceof Error ? cause.message : String(cause);
  return proxyErrors.fail(
    'UPSTREAM_UNREACHABLE',
    `the database server of tenant "${tenant.id}" cannot be used: ${words}`,
    {
      detail: `host ${tenant.host}, port ${tenant.port}`,
      hint: 'Check that the server runs and that the host and port of the tenant are right.',
      cause,
    },
  );
}
