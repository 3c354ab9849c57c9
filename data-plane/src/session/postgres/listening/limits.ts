/** Limits and times of listening that no tenant sets. */

/** Channels of one client, those of a transaction under way included. */
export const CHANNELS_PER_CLIENT_MAX = 2_000;
/** Different channels of all clients on one listener connection. */
export const CHANNELS_PER_LISTENER_MAX = 10_000;

/** Notifications that wait until a client is between transactions and reads. */
export const QUEUED_NOTIFICATIONS_MAX = 10_000;
export const QUEUED_BYTES_MAX = 4 * 1024 * 1024;

/** How long a listener connection stays open when nobody listens any more. */
export const LISTENER_UNUSED_MS = 30_000;
/** How long clients may be without a listener connection before they are ended after all. */
export const LISTENER_ABSENCE_MAX_MS = 30_000;
/** Pause after a failed attempt to listen again; it doubles with each up to the maximum. */
export const REDIAL_PAUSE_MIN_MS = 100;
export const REDIAL_PAUSE_MAX_MS = 5_000;
