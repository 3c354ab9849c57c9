/**
 * The limits and times of the pools that no tenant sets.
 */
export interface PoolLimits {
  /** Clients in line of one pool; the next is refused with POOL_QUEUE_FULL. */
  readonly waitersMax: number;
  /** Dials of one pool that run at the same time. */
  readonly dialsMax: number;
}

export const DEFAULT_POOL_LIMITS: PoolLimits = Object.freeze({ waitersMax: 10_000, dialsMax: 8 });

/** Pause after the first failed dial; it doubles with each failure up to the maximum. */
export const DIAL_PAUSE_MIN_MS = 100;
export const DIAL_PAUSE_MAX_MS = 15_000;

/** A slot lives between this share of `max_lifetime` and all of it. */
export const LIFETIME_SHARE_MIN = 0.8;

/**
 * How long a client waits for a server connection of its own pool before one of another database
 * of its tenant is closed in its favour. About what the new dial costs: sooner, two busy databases
 * would only trade slots.
 */
export const SIBLING_PATIENCE_MS = 20;

export const SWEEP_INTERVAL_MS = 1_000;
/** A pool without server connections that nobody asked for so long is dropped. */
export const DORMANT_POOL_MS = 600_000;
