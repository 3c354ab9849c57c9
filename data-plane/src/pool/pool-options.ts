/**
 * What a pool is made from.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantTraffic } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { Protocol } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Backend, Upstream } from '../upstream/upstream.ts';
import type { DialGate } from './dial-gate.ts';
import type { PoolLimits } from './limits.ts';
import type { Random } from './random.ts';
import type { SlotCap } from './slot-cap.ts';

export interface PoolIdentity {
  readonly tenant: string;
  readonly protocol: Protocol;
  /** host:port, for people. */
  readonly endpoint: string;
  readonly database: string;
  /** On the server. */
  readonly user: string;
  /** Connections of the proxy's own never serve a client. */
  readonly purpose: 'clients' | 'auth_query';
}

export interface PoolOptions<B extends Backend> {
  readonly identity: PoolIdentity;
  readonly settings: PoolSettings;
  /** Default is `active`. */
  readonly traffic?: TenantTraffic;
  /** Its dials and resets must settle and its closes end in `closed`, within times of its own. */
  readonly upstream: Upstream<B>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Shared with the tenant's other pools. Default is one of its own, `settings.maxConnections`. */
  readonly cap?: SlotCap;
  /** Shared by all pools of the proxy. Default is one of its own, which is always open. */
  readonly gate?: DialGate;
  /** Default is DEFAULT_POOL_LIMITS. */
  readonly limits?: PoolLimits;
  /** Default is the system's. */
  readonly random?: Random;
}
