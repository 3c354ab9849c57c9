/**
 * Where PostgreSQL sessions get their server connections: a pool and its upstream per tenant,
 * database and user.
 * Owns: tying pool keys to upstreams, and what a swap of the routing snapshot does to pools.
 */
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Pool } from '../../pool/pool.ts';
import type { Pools, PoolSpec } from '../../pool/pools.ts';
import { poolKey } from '../../routing/pool-identity.ts';
import type { Router } from '../../routing/router.ts';
import type { RoutingSnapshot } from '../../routing/snapshot.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import { Catalog } from '../../upstream/catalog/catalog.ts';
import { loadCatalogFacts } from '../../upstream/catalog/load-catalog.ts';
import { simpleQuery } from '../../upstream/conversation.ts';
import { PostgresUpstream } from '../../upstream/postgres-upstream.ts';
import type { PostgresUpstreamOptions } from '../../upstream/postgres-upstream.ts';
import type { Meter } from '../meter.ts';
import { withBackend } from './lease-once.ts';
import { StatementCatalogue } from './prepared/statement-catalogue.ts';
import type { Target, Targets } from './services.ts';

/** Different prepared statements of one tenant, database and user. */
const STATEMENTS_MAX = 20_000;

export interface TargetOptions extends Omit<
  PostgresUpstreamOptions,
  'tenant' | 'database' | 'onReset' | 'applicationName' | 'settings'
> {
  readonly router: Router;
  readonly pools: Pools<PostgresBackend>;
  readonly meter: Meter;
  /** Shown in pg_stat_activity; names the proxy and the term of the config. */
  readonly applicationName: () => string;
}

export class PostgresTargets implements Targets {
  readonly #options: TargetOptions;
  /** By tenant, database and server user: never more than there are of these. */
  readonly #catalogues = new Map<string, StatementCatalogue>();
  readonly #targets = new WeakMap<Pool<PostgresBackend>, Target>();

  constructor(options: TargetOptions) {
    this.#options = options;
    options.router.onSwap((_previous, next) => this.#reconcile(next));
  }

  /** @throws AppError SHUTTING_DOWN */
  of(tenant: TenantConfig, database: string): Target {
    const { pools } = this.#options;
    let made: PostgresUpstream | undefined;
    const pool = pools.get(poolKey(tenant, database), () => {
      made = this.#upstream(tenant, database);
      return this.#spec(tenant, database, made);
    });
    if (made !== undefined) this.#targets.set(pool, this.#target(pool, made));
    return this.#targets.get(pool) as Target;
  }

  #target(pool: Pool<PostgresBackend>, upstream: PostgresUpstream): Target {
    const { clock, log } = this.#options;
    const load = () =>
      withBackend(pool, (backend) => loadCatalogFacts((sql) => simpleQuery(backend, sql)));
    const { tenant, database } = pool.identity;
    return {
      pool,
      upstream,
      catalog: new Catalog({ load, clock, log: log.child({ tenant, database }) }),
    };
  }

  catalogue(tenant: TenantConfig, database: string): StatementCatalogue {
    const key = JSON.stringify([tenantKey(tenant.id), database, tenant.username]);
    let catalogue = this.#catalogues.get(key);
    if (catalogue === undefined) {
      catalogue = new StatementCatalogue(STATEMENTS_MAX);
      this.#catalogues.set(key, catalogue);
    }
    return catalogue;
  }

  #upstream(tenant: TenantConfig, database: string): PostgresUpstream {
    const { credentials, clock, log, meter, applicationName, router } = this.#options;
    const tenantMeter = meter.tenant(tenant.id, tenant.protocol);
    return new PostgresUpstream({
      tenant,
      database,
      credentials,
      clock,
      log: log.child({ tenant: tenant.id, database }),
      applicationName: applicationName(),
      settings: () => {
        const { current } = router;
        return current.poolSettings(current.byKey(tenantKey(tenant.id)) ?? tenant);
      },
      onReset: (status) => tenantMeter.backendReset(status),
    });
  }

  #spec(
    tenant: TenantConfig,
    database: string,
    upstream: PostgresUpstream,
  ): PoolSpec<PostgresBackend> {
    const identity = {
      tenant: tenant.id,
      protocol: tenant.protocol,
      endpoint: `${tenant.host}:${tenant.port}`,
      database,
      user: tenant.username,
    };
    return { identity, settings: this.#options.router.current.poolSettings(tenant), upstream };
  }

  /** Pools that the new snapshot does not know drain; the others take its settings. */
  #reconcile(next: RoutingSnapshot): void {
    this.#options.pools.reconcile((key, { identity }) => {
      const tenant = next.byKey(tenantKey(identity.tenant));
      if (tenant === undefined || poolKey(tenant, identity.database) !== key) return undefined;
      const { database, databases } = tenant;
      const isListed = identity.database === database || databases.includes(identity.database);
      return isListed ? next.poolSettings(tenant) : undefined;
    });
  }
}
