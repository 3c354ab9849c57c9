/**
 * Opens a PostgreSQL server connection: TCP, TLS, the login, the tenant's init_sql.
 * Owns: deadlines, the order in which ways with and without TLS are tried. Leaves: TLS to
 * server-socket.ts, the login to server-login.ts, words for failures to dial-errors.ts.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { Conversation, ServerError } from './conversation.ts';
import { UnfitCredential } from './credential.ts';
import type { Credential } from './credential.ts';
import {
  givenUp,
  isRefusalOfTransport,
  refusedInit,
  tlsFailed,
  tooLate,
  unfitCredential,
  unreachableServer,
} from './dial-errors.ts';
import type { DialStep, Secrecy } from './dial-errors.ts';
import { connectTo, isSocketFolder } from './endpoint.ts';
import { initSession } from './init-session.ts';
import type { BufferPool } from '../buffers/buffer-pool.ts';
import type { LeakDetector } from './leaks/leak-detector.ts';
import { PostgresBackend } from './postgres-backend.ts';
import { logIn } from './server-login.ts';
import type { LoginOptions } from './server-login.ts';
import { ServerReads } from './server-reads.ts';
import { negotiate, WAYS } from './server-socket.ts';
import type { Way } from './server-socket.ts';
import type { ServerTls, ServerTlsStore } from './server-tls.ts';
import { SlotGone } from './slot-gone.ts';
import { tlsFailure } from './tls-failure.ts';
import type { ServerEvents } from './upstream.ts';

export interface ConnectOptions extends LoginOptions {
  /** @throws AppError SECRET_UNAVAILABLE */
  readonly credential: () => Credential;
  readonly serverTls: Pick<ServerTlsStore, 'of'>;
  /** `connect` until TCP is connected, `login` from then until the connection can be used. */
  readonly timeouts: Pick<PoolSettings, 'serverConnectTimeoutMs' | 'serverLoginTimeoutMs'>;
  /** Silence after which the kernel probes whether the server is still there; 0: never. */
  readonly keepaliveIdleMs: number;
  /** What is read goes into memory of these. */
  readonly buffers: BufferPool;
  /** Learns what a new connection holds. */
  readonly leaks: LeakDetector;
  readonly clock: Clock;
  readonly log: Logger;
  readonly events: ServerEvents;
  /** An error as its reason is what is told when it is aborted. */
  readonly signal: AbortSignal;
}

/** How long a server may take to close a login that is given up. */
const LEAVE_TIMEOUT_MS = 1_000;

/**
 * @throws AppError UPSTREAM_UNREACHABLE | UPSTREAM_TLS_FAILED | UPSTREAM_REFUSED |
 * SECRET_UNAVAILABLE | CREDENTIAL_UNFIT | CLEARTEXT_REFUSED; nothing is left open then
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
      if (!isRefusalOfTransport(error)) break;
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

async function connectInOneWay(
  options: ConnectOptions,
  credential: Credential,
  tls: ServerTls,
  way: Way,
): Promise<PostgresBackend> {
  const reads = new ServerReads(options.buffers, options.clock);
  const transport = await connectSocket(options, reads);
  let established = false;
  const events: ServerEvents = {
    closed: () => {
      if (established) options.events.closed();
    },
  };
  const conversation = new Conversation();
  const abort = () => takeLeave(transport, options.clock);
  let step: DialStep = 'tls';
  const reached = (next: DialStep) => (step = next);
  const { serverLoginTimeoutMs } = options.timeouts;
  const timer = options.clock.after(serverLoginTimeoutMs, () => {
    const what = step === 'init_sql' ? 'its init_sql did not end' : 'the login did not end';
    transport.destroy(tooLate(what, 'server_login_timeout', serverLoginTimeoutMs));
  });
  options.signal.addEventListener('abort', abort);
  try {
    const socket = await negotiate(transport, tls, way, reads);
    const isClear = socket === transport;
    const carrier = { socket, tls: isClear ? undefined : tls, reads: isClear ? reads : undefined };
    const parts = { ...carrier, sink: conversation, events };
    const backend = new PostgresBackend({ ...parts, ...about(options) });
    await logIn(backend, conversation, credential, options, {
      secrecy: isClear ? 'clear' : secrecyOf(tls),
      reached,
    });
    reached('init_sql');
    await initialise(backend, options);
    if (!backend.usable) throw new Error('the server closed the connection');
    established = true;
    backend.answered = 0;
    return backend;
  } catch (error) {
    transport.destroy();
    if (error instanceof AppError || error instanceof SlotGone) throw error;
    if (options.signal.aborted) throw unreachableServer(options, givenUp(options.signal), step);
    const failure = tlsFailure(error);
    if (failure !== undefined) throw tlsFailed(options, failure, error);
    throw error instanceof UnfitCredential
      ? unfitCredential(options, error)
      : unreachableServer(options, error, step);
  } finally {
    timer.cancel();
    options.signal.removeEventListener('abort', abort);
  }
}

function secrecyOf({ options }: ServerTls): Secrecy {
  return options.rejectUnauthorized === true ? 'verified' : 'encrypted';
}

function about({ tenant, leaks, clock, log }: ConnectOptions) {
  const address = { host: tenant.host, port: tenant.port };
  return { address, initSql: tenant.initSql, leaks, clock, log };
}

function connectSocket(options: ConnectOptions, reads: ServerReads): Promise<Socket> {
  const { tenant, keepaliveIdleMs, clock, signal } = options;
  const { serverConnectTimeoutMs } = options.timeouts;
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...connectTo(tenant),
      noDelay: true,
      keepAlive: keepaliveIdleMs > 0,
      keepAliveInitialDelay: keepaliveIdleMs,
      onread: reads.onread,
    });
    reads.readFrom(socket);
    const abort = () => socket.destroy(givenUp(signal));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort);
    const timer = clock.after(serverConnectTimeoutMs, () =>
      socket.destroy(tooLate('no answer', 'server_connect_timeout', serverConnectTimeoutMs)),
    );
    const failed = (error: Error) => {
      timer.cancel();
      signal.removeEventListener('abort', abort);
      reject(unreachableServer(options, error, 'connect'));
    };
    socket.once('error', failed);
    socket.once('connect', () => {
      timer.cancel();
      signal.removeEventListener('abort', abort);
      socket.off('error', failed);
      resolve(socket);
    });
  });
}

/** The server may be about to count the connection: only its closing frees the slot. */
function takeLeave(transport: Socket, clock: Clock): void {
  const timer = clock.after(LEAVE_TIMEOUT_MS, () => transport.destroy());
  transport.once('close', () => timer.cancel());
  transport.end();
}

async function initialise(backend: PostgresBackend, options: ConnectOptions): Promise<void> {
  const { initSql } = backend;
  if (initSql === undefined) return;
  try {
    await initSession(backend, initSql);
    await options.leaks.begins(backend);
  } catch (error) {
    throw error instanceof ServerError ? refusedInit(options, error.fields) : error;
  }
}
