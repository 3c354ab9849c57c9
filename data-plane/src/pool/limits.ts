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

/** Pause after the first failed dial; it doubles with each failure up to `serverLoginRetryMs`. */
export const DIAL_PAUSE_MIN_MS = 100;

/** How long a dial is counted among those of the proxy: what takes longer waits for its server. */
export const DIAL_PLACE_MS = 1_000;

/** How long a pool tries to open as many connections as the one before it had in use. */
export const WARM_UP_MS = 10_000;

/** A slot lives between this share of `max_lifetime` and `max_queries` and all of it. */
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
