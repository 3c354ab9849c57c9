/** How many proxies may try a change, and for how long. */

/** Proxies that one change can be tried by; a larger share is as many. */
export const CANARY_PROXIES_MAX = 100;
export const CANARY_PROMOTE_AFTER_MS = Object.freeze({ min: 1_000, max: 86_400_000 });
