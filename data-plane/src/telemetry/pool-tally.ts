/**
 * Reads the pools, and keeps what they counted beyond their life: a pool that was drained is gone,
 * its counts are not.
 * Owns: totals over all pools since the start. Leaves: counting to the pools, presenting to
 * metrics.ts and reporter.ts.
 */
import type { Protocol } from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';

/** What telemetry needs to know about a pool; `Pool` of pool/pool.ts has it all. */
export interface ReadablePool {
  readonly identity: {
    readonly tenant: string;
    readonly protocol: Protocol;
    readonly database: string;
    readonly user: string;
  };
  stats(): PoolReading;
}

export interface PoolReading {
  readonly state: 'open' | 'waiting_for_login' | 'draining';
  readonly active: number;
  readonly idle: number;
  /** For a purpose of the proxy's own. */
  readonly kept: number;
  readonly total: number;
  readonly waiting: number;
  readonly longestWaitMs: number;
  /** The last dial error while dials fail. */
  readonly failing?: string;
  /** Since the pool was made. */
  readonly counters: PoolCounts;
}

export interface PoolCounts {
  readonly exhausted: number;
  readonly acquireTimeouts: number;
  readonly queueFull: number;
  readonly dialFailures: number;
  readonly waits: Readonly<Record<string, number>>;
  readonly closes: Readonly<Record<string, number>>;
}

/** The pools there are now, those that drain included. */
export type ListPools = () => Iterable<ReadablePool>;

/** One pool as it was when it was read. */
export interface ReadPool {
  readonly identity: ReadablePool['identity'];
  readonly reading: PoolReading;
}

/** What the pools of one tenant counted since the start of the process. */
export interface TenantTotals {
  readonly tenant: string;
  exhausted: number;
  acquireTimeouts: number;
  queueFull: number;
  dialFailures: number;
}

const NOTHING: PoolCounts = Object.freeze({
  exhausted: 0,
  acquireTimeouts: 0,
  queueFull: 0,
  dialFailures: 0,
  waits: Object.freeze({}),
  closes: Object.freeze({}),
});

export class PoolTally {
  readonly #list: ListPools;
  /** What each pool had counted when it was last read; holds the pool for one reading more. */
  #known = new Map<ReadablePool, PoolCounts>();
  /** By `tenantKey`. */
  readonly #tenants = new Map<string, TenantTotals>();
  readonly #waits = new Map<string, number>();
  readonly #closes = new Map<string, number>();

  constructor(list: ListPools) {
    this.#list = list;
  }

  /**
   * Every pool as it is now. To be called more often than pools come and go, or their counts are
   * missed.
   */
  read(): readonly ReadPool[] {
    const before = this.#known;
    this.#known = new Map();
    const pools: ReadPool[] = [];
    for (const pool of this.#list()) {
      const reading = pool.stats();
      this.#add(pool, before.get(pool) ?? NOTHING, reading);
      this.#known.set(pool, reading.counters);
      before.delete(pool);
      pools.push({ identity: pool.identity, reading });
    }
    // Those left are gone from the list: their last counts came after their last reading.
    for (const [pool, counts] of before) this.#add(pool, counts, pool.stats());
    return pools;
  }

  get tenants(): Iterable<TenantTotals> {
    return this.#tenants.values();
  }

  /** Clients that got in line, by what they waited for. */
  get waits(): ReadonlyMap<string, number> {
    return this.#waits;
  }

  /** Closed server connections by reason. */
  get closes(): ReadonlyMap<string, number> {
    return this.#closes;
  }

  /** Drops the totals of a tenant that was removed. */
  forget(tenant: string): void {
    this.#tenants.delete(tenantKey(tenant));
  }

  #add(pool: ReadablePool, before: PoolCounts, { state, counters: now }: PoolReading): void {
    addGrowth(this.#waits, before.waits, now.waits);
    addGrowth(this.#closes, before.closes, now.closes);
    const totals = this.#totalsOf(pool.identity.tenant, state);
    if (totals === undefined) return;
    totals.exhausted += now.exhausted - before.exhausted;
    totals.acquireTimeouts += now.acquireTimeouts - before.acquireTimeouts;
    totals.queueFull += now.queueFull - before.queueFull;
    totals.dialFailures += now.dialFailures - before.dialFailures;
  }

  /** A pool that drains may outlive its tenant: it must not bring back what was forgotten. */
  #totalsOf(tenant: string, state: PoolReading['state']): TenantTotals | undefined {
    const key = tenantKey(tenant);
    const known = this.#tenants.get(key);
    if (known !== undefined || state === 'draining') return known;
    const totals = { tenant, exhausted: 0, acquireTimeouts: 0, queueFull: 0, dialFailures: 0 };
    this.#tenants.set(key, totals);
    return totals;
  }
}

type CountsByReason = Readonly<Record<string, number>>;

function addGrowth(totals: Map<string, number>, before: CountsByReason, now: CountsByReason): void {
  for (const [reason, count] of Object.entries(now)) {
    totals.set(reason, (totals.get(reason) ?? 0) + count - (before[reason] ?? 0));
  }
}
