/**
 * Every pool of one protocol on this proxy, by the hash of its connection-relevant config.
 * Owns: making pools on demand, one limit per tenant, and what becomes of them when the routing
 * snapshot is swapped. Leaves: what the key is to the caller, the pools themselves to pool.ts.
 *
 * A swap never waits: store the new snapshot, call `reconcile`; the new pool of a changed tenant
 * is made and warmed by the caller, or made by the first client that asks for it, while the old one
 * drains beside it.
 */
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantTraffic } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { Backend, CloseReason } from '../upstream/upstream.ts';
import type { LimitPart } from './limit-part.ts';
import { DORMANT_POOL_MS } from './limits.ts';
import { Pool } from './pool.ts';
import { shuttingDown } from './pool-errors.ts';
import { takeLoneSlot } from './lone-slot.ts';
import type { GiveBack, LoneSlotOptions } from './lone-slot.ts';
import type { PoolIdentity, PoolOptions } from './pool-options.ts';
import { reserveOf, TenantCap } from './tenant-cap.ts';
import { UserCap } from './user-cap.ts';

/** What holds for a pool as long as its config does not change. */
export interface PoolTerms {
  readonly settings: PoolSettings;
  readonly traffic: TenantTraffic;
  /** Server connections of its user at most, over all the user's pools; Infinity: no limit. */
  readonly userMax: number;
}

/** What one pool has for itself. */
export type PoolSpec<B extends Backend> = Pick<PoolOptions<B>, 'identity' | 'upstream'> & PoolTerms;

/** What all pools have in common. */
export interface PoolsOptions<B extends Backend> extends Pick<
  PoolOptions<B>,
  'clock' | 'log' | 'gate' | 'limits' | 'random'
> {
  /** Where limits hold over several proxies: what of them is this one's. */
  readonly partOf?: (tenant: string) => LimitPart;
}

/** A pool that was current until a swap. */
export interface Retired<B extends Backend> {
  readonly pool: Pool<B>;
  /** Server connections that a pool in its place needs at once; undefined: it was not in use. */
  readonly busy: number | undefined;
}

export class Pools<B extends Backend> implements Iterable<Pool<B>> {
  readonly #options: PoolsOptions<B>;
  readonly #current = new Map<string, Pool<B>>();
  readonly #draining = new Set<Pool<B>>();
  /** By `tenantKey`. A limit lives as long as a pool counts under it, drained ones included. */
  readonly #caps = new Map<string, TenantCap>();
  /** By tenant, then by purpose and server user; lives like the tenant's limit. */
  readonly #userCaps = new Map<string, TenantCap>();
  readonly #shares = new WeakMap<Pool<B>, UserCap>();
  #state: 'open' | 'shutting_down' = 'open';

  constructor(options: PoolsOptions<B>) {
    this.#options = options;
  }

  /**
   * The pool under `key`, made from `make()` when there is none.
   * @throws AppError SHUTTING_DOWN
   */
  get(key: string, make: () => PoolSpec<B>): Pool<B> {
    const known = this.#current.get(key);
    if (known !== undefined) return known;
    if (this.#state === 'shutting_down') throw shuttingDown();
    const spec = make();
    const cap = this.#capOf(spec);
    const pool = new Pool({ ...this.#options, ...spec, cap });
    this.#shares.set(pool, cap);
    this.#current.set(key, pool);
    return pool;
  }

  /**
   * After a swap of the routing snapshot: pools that are current take their terms from `termsOf`,
   * those for which it has none drain, and their waiters are moved.
   * @returns those that drain now
   */
  reconcile(termsOf: (key: string, pool: Pool<B>) => PoolTerms | undefined): readonly Retired<B>[] {
    const retired: Retired<B>[] = [];
    const nowMs = this.#options.clock.nowMs();
    for (const [key, pool] of Array.from(this.#current)) {
      const terms = termsOf(key, pool);
      if (terms === undefined) {
        retired.push({ pool, busy: pool.busy });
        this.#retire(key, pool, 'pool_drained');
      } else {
        this.#shares.get(pool)?.resizeUser(terms.userMax, nowMs);
        pool.resize(terms.settings);
        pool.direct(terms.traffic);
      }
    }
    return retired;
  }

  /** Sweeps each pool and drops those that nobody has used for DORMANT_POOL_MS. */
  sweep(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const [key, pool] of Array.from(this.#current)) {
      pool.sweep();
      const { emptySinceMs } = pool;
      const isDormant = emptySinceMs !== undefined && nowMs - emptySinceMs >= DORMANT_POOL_MS;
      if (isDormant) this.#retire(key, pool, 'idle_timeout');
    }
  }

  /**
   * Makes no more pools and drains all; who is in line is refused with SHUTTING_DOWN.
   * @returns when the last server connection has closed: the caller bounds the wait.
   */
  async shutdown(): Promise<void> {
    this.#state = 'shutting_down';
    for (const [key, pool] of Array.from(this.#current)) this.#retire(key, pool, 'shutdown');
    await Promise.all(Array.from(this.#draining, (pool) => pool.drain('shutdown')));
  }

  /**
   * A slot of the tenant's limit for a connection that belongs to no pool.
   * @param settings their limit holds when the tenant has no pools
   * @returns what to call when it has closed; nothing when no slot was free in time, or no more
   * connections are to be opened
   */
  async loneSlot(
    tenant: string,
    settings: PoolSettings,
    options: LoneSlotOptions,
  ): Promise<GiveBack | undefined> {
    if (!this.isOpen) return undefined;
    const key = tenantKey(tenant);
    const cap = this.#tenantCap(tenant, settings.maxConnections);
    const giveBack = await takeLoneSlot(cap, options);
    if (giveBack === undefined) {
      forgetUnused(this.#caps, key);
      return undefined;
    }
    return () => {
      giveBack();
      forgetUnused(this.#caps, key);
    };
  }

  /** Whether more pools are made. */
  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** The current pools, then those that still drain. */
  *[Symbol.iterator](): Generator<Pool<B>, void, void> {
    yield* this.#current.values();
    yield* this.#draining;
  }

  #retire(key: string, pool: Pool<B>, reason: CloseReason): void {
    this.#current.delete(key);
    this.#draining.add(pool);
    void this.#outlive(pool, reason);
  }

  async #outlive(pool: Pool<B>, reason: CloseReason): Promise<void> {
    await pool.drain(reason);
    this.#draining.delete(pool);
    this.#forgetCaps(pool.identity);
  }

  /** The limits of the new pool, which hold as it has them for its older siblings too. */
  #capOf({ identity, settings, userMax }: PoolSpec<B>): UserCap {
    const nowMs = this.#options.clock.nowMs();
    const tenant = this.#tenantCap(identity.tenant, settings.maxConnections);
    const user = capIn(this.#userCaps, userKey(identity), () => new TenantCap(userMax));
    const cap = new UserCap(tenant, user, identity.user);
    cap.resizeUser(userMax, nowMs);
    cap.resize(settings.maxConnections, nowMs, reserveOf(settings));
    return cap;
  }

  #tenantCap(tenant: string, limit: number): TenantCap {
    const { partOf } = this.#options;
    const make = () => new TenantCap(limit, undefined, partOf?.(tenant));
    return capIn(this.#caps, tenantKey(tenant), make);
  }

  #forgetCaps(identity: PoolIdentity): void {
    forgetUnused(this.#caps, tenantKey(identity.tenant));
    forgetUnused(this.#userCaps, userKey(identity));
  }
}

function userKey({ tenant, purpose, user }: PoolIdentity): string {
  return JSON.stringify([tenantKey(tenant), purpose, user]);
}

function capIn(caps: Map<string, TenantCap>, key: string, make: () => TenantCap): TenantCap {
  const cap = caps.get(key) ?? make();
  caps.set(key, cap);
  return cap;
}

function forgetUnused(caps: Map<string, TenantCap>, key: string): void {
  const cap = caps.get(key);
  if (cap?.isUnused !== true) return;
  caps.delete(key);
  cap.end();
}
