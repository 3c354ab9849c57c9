/**
 * Where PostgreSQL sessions get their server connections: a pool and its upstream per tenant,
 * database and user.
 * Owns: tying pool keys to upstreams, and what a swap of the routing snapshot does to pools.
 */
import { databaseAfter, poolKey } from '@dbbouncer/shared/contract/pool-identity.ts';
import type { PoolKey } from '@dbbouncer/shared/contract/pool-identity.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Pool } from '../../pool/pool.ts';
import type { Pools, PoolSpec, PoolTerms, Retired } from '../../pool/pools.ts';
import type { Router } from '../../routing/router.ts';
import { tenantChanges } from '../../routing/snapshot.ts';
import type { RoutingSnapshot } from '../../routing/snapshot.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import { Catalog } from '../../upstream/catalog/catalog.ts';
import { ANSWER_MAX_MS, loadCatalogFacts } from '../../upstream/catalog/load-catalog.ts';
import { simpleQuery } from '../../upstream/conversation.ts';
import type { ServerCancels } from '../../upstream/server-cancels.ts';
import { PostgresUpstream } from '../../upstream/postgres-upstream.ts';
import type { PostgresUpstreamOptions } from '../../upstream/postgres-upstream.ts';
import type { Meter } from '../meter.ts';
import type { Account, Accounts, Member } from './auth/account.ts';
import { withBackend } from './lease-once.ts';
import { ChannelHub } from './listening/channel-hub.ts';
import type { Leases } from './leases.ts';
import { Exchanges } from './listening/exchange.ts';
import { StatementCatalogue } from './prepared/statement-catalogue.ts';
import type { Target, Targets } from './services.ts';
import { FlushSoon } from './shared/flush-soon.ts';
import { SharedLane } from './shared/lane.ts';
import { settingsFor, tenantsToPrewarm } from './warm-up.ts';

/** Texts of the prepared statements of one tenant, database and user. */
const STATEMENTS_BYTES_MAX = 64 * 1024 * 1024;
/**
 * Catalogues that are found again. One that is not lives on with its sessions, and names no
 * statement as another one does: it is only not shared with sessions that come later.
 */
const CATALOGUES_MAX = 10_000;

export interface TargetOptions extends Omit<
  PostgresUpstreamOptions,
  | 'tenant'
  | 'user'
  | 'credential'
  | 'database'
  | 'onReset'
  | 'onInspected'
  | 'onLeak'
  | 'applicationName'
  | 'settings'
> {
  readonly accounts: Accounts;
  readonly router: Router;
  readonly pools: Pools<PostgresBackend>;
  readonly meter: Meter;
  readonly cancels: ServerCancels;
  readonly leases: Leases;
  /** Shown in pg_stat_activity; names the proxy and the term of the config. */
  readonly applicationName: () => string;
}

export class PostgresTargets implements Targets {
  readonly #options: TargetOptions;
  /** By tenant, database and server user, the one asked for longest ago first. */
  readonly #catalogues = new Map<string, StatementCatalogue>();
  readonly #targets = new WeakMap<Pool<PostgresBackend>, Target>();
  readonly #members = new WeakMap<Pool<PostgresBackend>, Member>();
  readonly #exchanges = new Exchanges();
  readonly #flushSoon = new FlushSoon();
  /** By account, then by database. */
  readonly #keys = new WeakMap<Account, Map<string, PoolKey>>();

  constructor(options: TargetOptions) {
    this.#options = options;
    options.router.onSwap((previous, next) => {
      for (const { before, after } of tenantChanges(previous, next, 'known')) {
        if (before !== undefined && after !== undefined) options.accounts.inherit(before, after);
      }
      const retired = this.#reconcile(next);
      if (!options.pools.isOpen) return;
      for (const former of retired) this.#replace(former, previous, next);
      for (const tenant of tenantsToPrewarm(previous, next)) this.#warm(tenant, tenant.database);
    });
  }

  /** @throws AppError SHUTTING_DOWN */
  of(account: Account, database: string): Target {
    const { pools } = this.#options;
    let made: PostgresUpstream | undefined;
    const pool = pools.get(this.#keyOf(account, database), () => {
      made = this.#upstream(account, database);
      return this.#spec(account, database, made);
    });
    if (made !== undefined) {
      this.#targets.set(pool, this.#target(pool, made));
      this.#members.set(pool, account.member());
    }
    return this.#targets.get(pool) as Target;
  }

  #keyOf(account: Account, database: string): PoolKey {
    let keys = this.#keys.get(account);
    if (keys === undefined) {
      keys = new Map();
      this.#keys.set(account, keys);
    }
    let key = keys.get(database);
    if (key === undefined) {
      const { purpose, serverUser } = account;
      const fingerprint = account.fingerprint();
      key = poolKey(account.tenant, database, { purpose, serverUser, fingerprint });
      keys.set(database, key);
    }
    return key;
  }

  #target(pool: Pool<PostgresBackend>, upstream: PostgresUpstream): Target {
    const { clock, meter, cancels, leases } = this.#options;
    const load = () =>
      withBackend(pool, (backend) =>
        loadCatalogFacts((sql) => simpleQuery(backend, sql, ANSWER_MAX_MS)),
      );
    const { tenant, database, endpoint, protocol } = pool.identity;
    const log = this.#options.log.child({ tenant, database });
    const exchange = this.#exchanges.of(`${endpoint}/${database}`);
    const hub = new ChannelHub({
      pool,
      upstream,
      exchange,
      clock,
      log,
      meter: meter.tenant(tenant, protocol),
      onListenerLoss: () => upstream.settings.onListenerLoss,
    });
    const lane = new SharedLane({
      pool,
      tenantKey: tenantKey(tenant),
      clock,
      log,
      meter: meter.tenant(tenant, protocol),
      flushSoon: this.#flushSoon,
      cancels,
      leases,
      settings: () => upstream.settings,
    });
    return { pool, upstream, catalog: new Catalog({ load, clock, log }), lane, hub, exchange };
  }

  #newCatalogue(tenant: TenantConfig): StatementCatalogue {
    const settings = this.#settingsOf(tenant);
    return new StatementCatalogue(() => ({
      statementsMax: settings().maxDistinctPreparedStatements,
      bytesMax: STATEMENTS_BYTES_MAX,
    }));
  }

  /** As they are whenever it is asked; those of a removed tenant stay. */
  #settingsOf(tenant: TenantConfig): () => PoolSettings {
    const { router } = this.#options;
    const key = tenantKey(tenant.id);
    return () => router.current.poolSettings(router.current.byKey(key) ?? tenant);
  }

  catalogue({ tenant, serverUser }: Account, database: string): StatementCatalogue {
    const key = JSON.stringify([tenantKey(tenant.id), database, serverUser]);
    const catalogue = this.#catalogues.get(key) ?? this.#newCatalogue(tenant);
    this.#catalogues.delete(key);
    this.#catalogues.set(key, catalogue);
    // Asked for only then: what was taken out of a map is walked over to find what is first in it.
    if (this.#catalogues.size > CATALOGUES_MAX) {
      const [oldest] = this.#catalogues.keys();
      if (oldest !== undefined) this.#catalogues.delete(oldest);
    }
    return catalogue;
  }

  #upstream(account: Account, database: string): PostgresUpstream {
    const { keepaliveIdleMs, serverTls, servers, endpoints, buffers } = this.#options;
    const { clock, log, meter } = this.#options;
    const { tenant, serverUser } = account;
    const tenantMeter = meter.tenant(tenant.id, tenant.protocol);
    return new PostgresUpstream({
      tenant,
      user: serverUser,
      credential: account.serverCredential,
      serverTls,
      database,
      buffers,
      clock,
      log: log.child({ tenant: tenant.id, database }),
      applicationName: this.#options.applicationName(),
      settings: this.#settingsOf(tenant),
      keepaliveIdleMs,
      servers,
      endpoints,
      onReset: (status) => tenantMeter.backendReset(status),
      onInspected: () => tenantMeter.stateInspected(),
      onLeak: (kind) => tenantMeter.stateLeaked(kind),
    });
  }

  #spec(account: Account, database: string, upstream: PostgresUpstream): PoolSpec<PostgresBackend> {
    const { tenant, serverUser, purpose } = account;
    const identity = {
      tenant: tenant.id,
      protocol: tenant.protocol,
      endpoint: `${tenant.host}:${tenant.port}`,
      database,
      user: serverUser,
      purpose,
    };
    return { identity, ...this.#terms(account, database, this.#options.router.current), upstream };
  }

  usersChanged(): void {
    this.#reconcile(this.#options.router.current);
  }

  /** Pools that the new snapshot does not know drain; the others take its settings. */
  #reconcile(next: RoutingSnapshot): readonly Retired<PostgresBackend>[] {
    return this.#options.pools.reconcile((key, pool) => {
      const tenant = next.byKey(tenantKey(pool.identity.tenant));
      const account = tenant && this.#userOf(pool, key, tenant);
      if (tenant === undefined || account === undefined) return undefined;
      const wanted = pool.identity.database;
      const isListed = databasesFor(account).includes(wanted);
      return isListed ? this.#terms(account, wanted, next) : undefined;
    });
  }

  /** Opens what clients of a pool that drains will need of the one that takes its place. */
  #replace(
    { pool, busy }: Retired<PostgresBackend>,
    previous: RoutingSnapshot,
    next: RoutingSnapshot,
  ): void {
    const key = tenantKey(pool.identity.tenant);
    const tenant = next.byKey(key);
    const account = tenant && this.#members.get(pool)?.accountIn(tenant);
    if (account === undefined || account.purpose !== 'clients' || busy === undefined) return;
    const database = databaseAfter(previous.byKey(key), account.tenant, pool.identity.database);
    if (database !== undefined) this.of(account, database).pool.warm(busy);
  }

  #warm(tenant: TenantConfig, database: string): void {
    const account = this.#options.accounts.find(tenant, tenant.username);
    if (account !== undefined) this.of(account, database).pool.warm();
  }

  /** Users who share a server user share its pools: the lowest of their limits holds. */
  #terms(account: Account, database: string, snapshot: RoutingSnapshot): PoolTerms {
    const { tenant, serverUser, purpose, maxConnections = Infinity } = account;
    const settings = settingsFor(account, database, snapshot.poolSettings(tenant));
    const traffic = operationsOf(tenant).state;
    if (purpose === 'auth_query') return { settings, traffic, userMax: maxConnections };
    const sharers = this.#options.accounts.withServerUser(tenant, serverUser);
    const limits = sharers.map((sharer) => sharer.maxConnections ?? Infinity);
    return { settings, traffic, userMax: Math.min(maxConnections, ...limits) };
  }

  /** A user of `tenant` who has the connections of the pool: who it was made for, or another. */
  #userOf(pool: Pool<PostgresBackend>, key: string, tenant: TenantConfig): Account | undefined {
    const { database, user } = pool.identity;
    const isOfPool = (account: Account) => this.#keyOf(account, database) === key;
    const first = this.#members.get(pool)?.accountIn(tenant);
    if (first !== undefined && isOfPool(first)) return first;
    return this.#options.accounts.withServerUser(tenant, user).find(isOfPool);
  }
}

function databasesFor({ tenant, purpose }: Account): readonly string[] {
  const { database, databases, authQuery } = tenant;
  return purpose === 'clients' ? [database, ...databases] : [authQuery?.database ?? database];
}
