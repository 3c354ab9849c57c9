/**
 * What PostgreSQL sessions need from the rest of the process, as one bundle made by app.ts.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { AttemptThrottle } from '../../access/attempt-throttle.ts';
import type { Pool } from '../../pool/pool.ts';
import type { SelectorSettings } from '../../routing/resolve-tenant.ts';
import type { Router } from '../../routing/router.ts';
import type { ClientTls } from '../../tls/client-tls.ts';
import type { Catalog } from '../../upstream/catalog/catalog.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import type { PostgresUpstream } from '../../upstream/postgres-upstream.ts';
import type { BusyPoll } from '../busy-poll.ts';
import type { ClientLimits } from '../client-limits.ts';
import type { Meter } from '../meter.ts';
import type { SessionRegistry } from '../session.ts';
import type { TimeLimits } from '../time-limits.ts';
import type { Account, Accounts } from './auth/account.ts';
import type { Lookups } from './auth/lookups.ts';
import type { CancelRegistry, CancelsElsewhere } from './cancel.ts';
import type { Leases } from './leases.ts';
import type { ChannelHub } from './listening/channel-hub.ts';
import type { Exchange } from './listening/exchange.ts';
import type { SharedLane } from './shared/lane.ts';
import type { StatementCatalogue } from './prepared/statement-catalogue.ts';
import type { TransportPolicy } from './transport.ts';

export type { LoggedIn } from './logged-in.ts';

/** A pool with what its dials have learned about the server. */
export interface Target {
  readonly pool: Pool<PostgresBackend>;
  readonly upstream: PostgresUpstream;
  /** What the database's definitions can do to a session. */
  readonly catalog: Catalog;
  /** On which its clients' harmless reads run together. */
  readonly lane: SharedLane;
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
  /** Keeps the process awake where bytes come soon. */
  readonly busyPoll: BusyPoll;
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
  /** Cancels of sessions that other proxies have. */
  readonly elsewhere: CancelsElsewhere;
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
