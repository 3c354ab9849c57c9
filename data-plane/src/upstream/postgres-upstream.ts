/**
 * The PostgreSQL server behind one pool: dials it, cleans its connections, remembers what it told
 * about itself.
 * Owns: the parameters a login may be greeted with before it owns a connection. Leaves: the login
 * to connect-postgres.ts.
 */
import { randomInt } from 'node:crypto';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { BufferPool } from '../buffers/buffer-pool.ts';
import { proxyErrors } from '../errors.ts';
import { TRANSACTION_IDLE } from '../wire/postgres/backend-messages.ts';
import { connectPostgres } from './connect-postgres.ts';
import { ping, simpleQueries, simpleQuery } from './conversation.ts';
import type { Credential } from './credential.ts';
import { unreachableServer } from './dial-errors.ts';
import type { EndpointsHealth } from './endpoint-health.ts';
import { idleSink } from './idle-sink.ts';
import { initSession } from './init-session.ts';
import { LeakDetector } from './leaks/leak-detector.ts';
import type { LeakKind } from './leaks/session-holdings.ts';
import { EMPTY_VECTOR } from './parameter-vector.ts';
import type { PostgresBackend } from './postgres-backend.ts';
import type { KnownServers } from './server-limits.ts';
import type { ServerTlsStore } from './server-tls.ts';
import { withinTime } from './time-limit.ts';
import type { TimeLimit } from './time-limit.ts';
import type { ServerEvents, Upstream } from './upstream.ts';

export interface PostgresUpstreamOptions {
  readonly tenant: TenantConfig;
  readonly database: string;
  /** Who the connections are on the server. */
  readonly user: string;
  /** @throws AppError SECRET_UNAVAILABLE */
  readonly credential: () => Credential;
  readonly serverTls: Pick<ServerTlsStore, 'of'>;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  /** As they are now: a swap may change them. */
  readonly settings: () => PoolSettings;
  readonly keepaliveIdleMs: number;
  /** Whom to tell what the server says of its limits; undefined: it is not asked. */
  readonly servers: KnownServers | undefined;
  /** Learns how dials go, and how soon the server answers. */
  readonly endpoints: EndpointsHealth;
  /** What is read of the server goes into memory of these. */
  readonly buffers: BufferPool;
  readonly clock: Clock;
  readonly log: Logger;
  /** Tells telemetry how a reset ended. */
  readonly onReset: (status: 'clean' | 'failed') => void;
  /** And what was found on connections that should have been clean. */
  readonly onInspected: () => void;
  readonly onLeak: (kind: LeakKind) => void;
}

/** Vectors whose reported values are remembered. */
const REPORTED_VECTORS_MAX = 1_000;

export class PostgresUpstream implements Upstream<PostgresBackend> {
  /** Looks after clients that have left. */
  readonly leaks: LeakDetector;
  readonly #options: PostgresUpstreamOptions;
  #parameters: ReadonlyMap<string, string> | undefined;
  readonly #reportedByVector = new Map<string, ReadonlyMap<string, string>>();

  constructor(options: PostgresUpstreamOptions) {
    this.#options = options;
    this.leaks = new LeakDetector({
      ...options,
      mode: () => options.settings().leakDetector,
      limitMs: () => options.settings().cancelWaitTimeoutMs,
    });
  }

  get settings(): PoolSettings {
    return this.#options.settings();
  }

  /**
   * What the server reported at its last login, init_sql included; undefined before the first one.
   */
  get parameters(): ReadonlyMap<string, string> | undefined {
    return this.#parameters;
  }

  /** What the server reports under a vector that was applied before. */
  reportedUnder(vectorKey: string): ReadonlyMap<string, string> | undefined {
    return vectorKey === '' ? this.#parameters : this.#reportedByVector.get(vectorKey);
  }

  /** Remembers what a backend reports now, under the vector it has. */
  remember(backend: PostgresBackend): void {
    if (backend.vector.key === '') return;
    if (this.#reportedByVector.size >= REPORTED_VECTORS_MAX) this.#reportedByVector.clear();
    this.#reportedByVector.set(backend.vector.key, new Map(backend.parameters));
  }

  /** A verifier alone cannot log in: a client with the password has to come first. */
  readonly hindrance = (): AppError | undefined => {
    const { tenant, user, credential } = this.#options;
    try {
      if (credential().readiness === 'ready') return undefined;
    } catch {
      // What keeps the credential from being opened is told by the dial.
      return undefined;
    }
    const message = `user "${user}" of tenant "${tenant.id}" is known by a SCRAM verifier alone`;
    return proxyErrors.fail('WAITING_FOR_LOGIN', message, {
      detail: 'Its password is needed once, to log in to the database server as this user.',
      hint: 'Connect again with the password of this user.',
    });
  };

  /** Of what the proxy asks a server connection: without it, one that hangs would keep its slot. */
  readonly #patience = (limitMs?: number): TimeLimit => {
    const { clock } = this.#options;
    if (limitMs !== undefined) {
      return { clock, limitMs, text: `the server did not answer the proxy within ${limitMs} ms` };
    }
    const { cancelWaitTimeoutMs } = this.settings;
    const setting = `cancel_wait_timeout (${cancelWaitTimeoutMs} ms)`;
    const text = `the server did not answer the proxy within ${setting}`;
    return { clock, limitMs: cancelWaitTimeoutMs, text };
  };

  dial(events: ServerEvents, signal: AbortSignal): Promise<PostgresBackend> {
    const { tenant, endpoints } = this.#options;
    return endpoints.watch(tenant, signal, () => this.#dial(events, signal));
  }

  async #dial(events: ServerEvents, signal: AbortSignal): Promise<PostgresBackend> {
    const { settings } = this;
    const backend = await connectPostgres({
      ...this.#options,
      timeouts: settings,
      cleartext: settings.serverCleartext,
      leaks: this.leaks,
      events,
      signal,
    });
    this.#parameters = new Map(backend.parameters);
    backend.attach(idleSink);
    backend.patience = this.#patience;
    await this.#learnLimits(backend);
    return backend;
  }

  /** Now and then, of a server once. @throws UPSTREAM_UNREACHABLE */
  async #learnLimits(backend: PostgresBackend): Promise<void> {
    const { tenant, user, servers } = this.#options;
    try {
      await servers?.askOnce(tenant, backend);
    } catch (error) {
      throw unreachableServer({ tenant, user }, error, 'limits');
    }
  }

  /**
   * Rolls back what is open, discards all session state and runs init_sql again.
   * @throws when the server does not do so, or not within cancel_wait_timeout
   */
  async reset(backend: PostgresBackend): Promise<void> {
    const limitMs = this.settings.cancelWaitTimeoutMs;
    const text = `the connection was not clean within cancel_wait_timeout (${limitMs} ms)`;
    try {
      const limit = { clock: this.#options.clock, limitMs, text };
      await withinTime(backend, limit, () => this.#clean(backend));
    } catch (error) {
      this.#options.onReset('failed');
      throw error;
    }
    this.#options.onReset('clean');
  }

  async #clean(backend: PostgresBackend): Promise<void> {
    await clean(backend);
    backend.vector = EMPTY_VECTOR;
    if (!this.leaks.takesNext()) return;
    const found = await this.leaks.inspect(backend, NO_STATEMENTS);
    if (found === 'leaking') throw new Error('it holds something after DISCARD ALL');
  }

  /** A Sync, which nobody's log mentions. @throws when its answer does not come in time */
  async check(backend: PostgresBackend): Promise<void> {
    const { tenant, clock, endpoints } = this.#options;
    const limitMs = this.settings.serverConnectTimeoutMs;
    const text = `the server did not answer within server_connect_timeout (${limitMs} ms)`;
    const sinceMs = clock.nowMs();
    await withinTime(backend, { clock, limitMs, text }, () => ping(backend));
    endpoints.answered(tenant, clock.nowMs() - sinceMs);
  }
}

const NO_STATEMENTS: ReadonlySet<string> = new Set();

async function clean(backend: PostgresBackend): Promise<void> {
  const { initSql } = backend;
  // DISCARD ALL must not run inside a transaction, so each is a Query of its own.
  if (backend.transactionStatus !== TRANSACTION_IDLE) await simpleQuery(backend, 'ROLLBACK');
  await simpleQueries(backend, ['DISCARD ALL', unforeseeableSeed()]);
  if (initSql !== undefined) await initSession(backend, initSql);
}

const SEED_STEPS = 2 ** 47;

/**
 * DISCARD ALL leaves the seed of random(), which any function may have set: without another one the
 * next client's random numbers are what the last has made them.
 */
function unforeseeableSeed(): string {
  return `SET seed TO ${(randomInt(SEED_STEPS) / SEED_STEPS).toFixed(16)}`;
}
