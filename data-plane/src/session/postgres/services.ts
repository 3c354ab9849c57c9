/**
 * What PostgreSQL sessions need from the rest of the process, as one bundle made by app.ts.
 */
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { AccessRequest } from '../../access/access-rules.ts';
import type { AttemptThrottle } from '../../access/attempt-throttle.ts';
import type { Pool } from '../../pool/pool.ts';
import type { SelectorSettings } from '../../routing/resolve-tenant.ts';
import type { Router } from '../../routing/router.ts';
import type { ClientTls } from '../../tls/client-tls.ts';
import type { Catalog } from '../../upstream/catalog/catalog.ts';
import type { ParameterVector } from '../../upstream/parameter-vector.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import type { PostgresUpstream } from '../../upstream/postgres-upstream.ts';
import type { ReportedParameters } from '../../upstream/reported-parameters.ts';
import type { Admission, ClientLimits } from '../client-limits.ts';
import type { Meter, TenantMeter } from '../meter.ts';
import type { SessionRegistry } from '../session.ts';
import type { TimeLimits } from '../time-limits.ts';
import type { Account, Accounts, Member } from './auth/account.ts';
import type { Lookups } from './auth/lookups.ts';
import type { CancelKey, CancelRegistry } from './cancel.ts';
import type { Leases } from './leases.ts';
import type { ChannelHub } from './listening/channel-hub.ts';
import type { Exchange } from './listening/exchange.ts';
import type { PreparedLimits } from './prepared/prepared-relay.ts';
import type { StatementCatalogue } from './prepared/statement-catalogue.ts';
import type { ApplicationNames } from './state/client-settings.ts';
import type { TransportPolicy } from './transport.ts';

/** A pool with what its dials have learned about the server. */
export interface Target {
  readonly pool: Pool<PostgresBackend>;
  readonly upstream: PostgresUpstream;
  /** What the database's definitions can do to a session. */
  readonly catalog: Catalog;
  /** On which its clients listen together. */
  readonly hub: ChannelHub;
  /** Who listens and speaks in the database, over all its pools. */
  readonly exchange: Exchange;
}

/** The pools by tenant, server user and database; made when first asked for. */
export interface Targets {
  of(account: Account, database: string): Target;
  /** Users have other credentials than before, though no config changed: stale pools drain. */
  usersChanged(): void;
  /**
   * The prepared statements of all clients with this tenant, database and server user; outlives
   * its pools.
   */
  catalogue(account: Account, database: string): StatementCatalogue;
}

export interface LoginSettings {
  readonly clientLoginTimeoutMs: number;
  /**
   * Whether an unknown tenant is called that, for development; otherwise it looks like a wrong
   * password.
   */
  readonly unknownTenant: 'hidden' | 'disclosed';
  readonly selectors: SelectorSettings;
  readonly transport: TransportPolicy;
}

export interface SessionServices {
  readonly router: Router;
  /** Whether any config has come, from the bus or from disk; it may hold no tenant. */
  readonly hasConfig: () => boolean;
  /** Resolves when there is one. */
  readonly whenConfigured: Promise<void>;
  readonly targets: Targets;
  readonly accounts: Accounts;
  readonly lookups: Lookups;
  /** Keys the salts shown for users and tenants that do not exist, alike on every proxy. */
  readonly mockSecret: () => Buffer;
  /** Absent: clients that ask for TLS are told that there is none. */
  readonly tls: ClientTls | undefined;
  readonly registry: SessionRegistry;
  readonly clientLimits: ClientLimits;
  readonly timeLimits: TimeLimits;
  readonly cancels: CancelRegistry;
  /** Slows logins down where many have failed. */
  readonly throttle: AttemptThrottle;
  /** The same for cancel keys that nobody has. */
  readonly cancelThrottle: AttemptThrottle;
  readonly leases: Leases;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: LoginSettings;
}

/** What a login has established; the session keeps it for its life. */
export interface LoggedIn {
  readonly tenant: string;
  readonly tenantKey: string;
  /** As the client presented it, without the selector. */
  readonly user: string;
  /** That user, as the tenant's config changes. */
  readonly member: Member;
  readonly database: string;
  /** What the tenant's access rules judge, at the login and when they change. */
  readonly access: AccessRequest;
  /** Its place among the clients of its tenant; released when the session ends. */
  readonly admission: Admission;
  /** Whether that is the tenant's own one: if the tenant gets another, the session follows. */
  readonly databaseIs: 'own' | 'listed';
  readonly pooling: PoolMode;
  readonly vector: ParameterVector;
  /** What the greeting has told of the server's parameters. */
  readonly reported: ReportedParameters;
  readonly applicationNames: ApplicationNames;
  readonly preparedLimits: PreparedLimits;
  readonly cancelKey: CancelKey;
  readonly catalogue: StatementCatalogue;
  readonly meter: TenantMeter;
}
