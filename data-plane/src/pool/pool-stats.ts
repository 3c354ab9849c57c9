/**
 * What a pool says about itself; the names are those of the proxy's report and its metrics.
 */
import type { Backend, CloseReason } from '../upstream/upstream.ts';
import type { PoolCore } from './pool-core.ts';
import type { WaitReason } from './wait-reason.ts';

/** Counted since the pool was made; they only grow. */
export interface PoolCounters {
  /** Server connections given to clients. */
  leases: number;
  /** Clients that had to get in line, by what they waited for then. */
  waits: Record<WaitReason, number>;
  /** Milliseconds that clients who were served had spent in line. */
  waitedMs: number;
  /** Clients that had to get in line while the tenant had no room for another server connection. */
  exhausted: number;
  acquireTimeouts: number;
  queueFull: number;
  dials: number;
  dialFailures: number;
  resets: number;
  /** Idle server connections whose server was asked whether it is there. */
  checks: number;
  closes: Record<CloseReason, number>;
}

export interface PoolStats {
  /** `waiting_for_login`: its credential is a verifier, and nobody has logged in with it yet. */
  readonly state: 'open' | 'waiting_for_login' | 'draining';
  /** Leased. */
  readonly active: number;
  readonly idle: number;
  /** Idle, and just being asked whether their server is there. */
  readonly checking: number;
  readonly dialing: number;
  readonly resetting: number;
  /** Held by the proxy for a purpose of its own. */
  readonly kept: number;
  readonly closing: number;
  /** All of the above: the slots this pool occupies of its tenant's limit. */
  readonly total: number;
  readonly waiting: number;
  /** How long the first in line has waited; 0 when nobody does. */
  readonly longestWaitMs: number;
  /** The last dial error, as the database worded it, while dials fail. */
  readonly failing?: string;
  readonly counters: Readonly<PoolCounters>;
}

export function newCounters(): PoolCounters {
  return {
    leases: 0,
    waits: { paused: 0, pool_full: 0, budget: 0, draining: 0, login_failing: 0, connecting: 0 },
    waitedMs: 0,
    exhausted: 0,
    acquireTimeouts: 0,
    queueFull: 0,
    dials: 0,
    dialFailures: 0,
    resets: 0,
    checks: 0,
    closes: {
      idle_timeout: 0,
      reserve_unused: 0,
      max_lifetime: 0,
      max_queries: 0,
      over_limit: 0,
      evicted: 0,
      pool_drained: 0,
      paused: 0,
      reset_failed: 0,
      check_failed: 0,
      server_gone: 0,
      protocol_error: 0,
      client_gone: 0,
      suspect_state: 0,
      shutdown: 0,
    },
  };
}

export function statsOf<B extends Backend, W>(
  core: PoolCore<B, W>,
  counters: PoolCounters,
  hindrance: unknown,
  nowMs: number,
): PoolStats {
  const { head } = core.line;
  const isHindered = hindrance !== undefined;
  const failing = core.backoff.error?.message;
  return {
    state: core.drainReason !== undefined ? 'draining' : isHindered ? 'waiting_for_login' : 'open',
    active: core.leased.size,
    idle: core.idle.size,
    checking: core.checking.size,
    dialing: core.dialing.size,
    resetting: core.resetting.size,
    kept: core.kept.size,
    closing: core.closing.size,
    total: core.occupied,
    waiting: core.line.size,
    longestWaitMs: head === undefined ? 0 : Math.max(0, nowMs - head.sinceMs),
    ...(failing !== undefined && { failing }),
    counters: { ...counters, waits: { ...counters.waits }, closes: { ...counters.closes } },
  };
}
