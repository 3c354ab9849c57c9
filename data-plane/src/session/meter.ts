/**
 * What a session tells the outside about itself, as a port: telemetry/ counts it, tests leave it
 * out. A session looks its tenant up once and keeps the handle, so that one query costs a few
 * additions and no hashing.
 * Owns: the words of the labels; every union here is closed, so that no metric grows without bound.
 * Leaves: what pools count themselves (closes, dials) to their statistics.
 */
import type { HandshakeFailure } from '../tls/handshake-failed.ts';
import type { ThrottleReason } from '../access/attempt-throttle.ts';
import type { LeakKind } from '../upstream/leaks/session-holdings.ts';
import type { SharingVerdict } from './postgres/shared/harmless.ts';
import type { ReturnReason } from './postgres/shared/shared-batch.ts';
import type { PinReason } from './postgres/sql/statement-effects.ts';
import type { TimeLimit } from './time-limits.ts';
import type { Protocol } from '@dbbouncer/shared/contract/routing-config.ts';

export type { ThrottleReason } from '../access/attempt-throttle.ts';
export type { HandshakeFailure } from '../tls/handshake-failed.ts';
export type { LeakKind } from '../upstream/leaks/session-holdings.ts';
export type { SharingVerdict } from './postgres/shared/harmless.ts';
export type { ReturnReason } from './postgres/shared/shared-batch.ts';
export type { PinReason } from './postgres/sql/statement-effects.ts';
export type { TimeLimit } from './time-limits.ts';

/** Why a login failed, as the operator may know it; the client reads less. */
export type AuthFailure =
  | 'unknown_tenant'
  | 'no_selector'
  | 'selector_conflict'
  | 'unknown_user'
  | 'wrong_password'
  /** The tenant's database could not be asked for the user. */
  | 'lookup_failed'
  | 'secret_unavailable'
  /** What is stored of the password does not allow the method that the client is asked for. */
  | 'method_refused'
  | 'tls_required'
  | 'access_refused'
  | 'certificate_missing'
  | 'certificate_invalid'
  | 'certificate_user'
  | 'proxy_header'
  | 'throttled'
  | 'timeout'
  | 'database_not_listed'
  | 'malformed';

/**
 * What became of a cancel request: `forwarded` when its session is at another proxy, `throttled`
 * when its address had tried too many keys, or too many were being asked elsewhere.
 */
export type CancelOutcome = 'found' | 'forwarded' | 'unknown_key' | 'throttled';

/** Who has made an error that a client has read. */
export type ErrorSource = 'server' | 'proxy';

/** `cached`: an earlier answer held. `missing`: no such user, or one without a password. */
export type LookupOutcome = 'cached' | 'found' | 'missing' | 'failed';

/** Why a client that listened was ended. */
export type ListeningEnd = 'listener_lost' | 'backlog';

export type ResetStatus = 'clean' | 'failed';

/** Counts for one tenant; valid as long as the session lives, a removed tenant included. */
export interface TenantMeter {
  /** From the first byte of a query to the ReadyForQuery (or last packet) that ends it. */
  queryFinished(durationSeconds: number): void;
  /** A server connection was handed out after so long in line; 0 when one was free. */
  acquired(waitSeconds: number): void;
  pinned(reason: PinReason): void;
  /** A client has read an error: the server's own, or one that the proxy had to make. */
  errorAnswered(source: ErrorSource): void;
  /** A batch was looked at for whether it may run beside those of other clients. */
  classified(verdict: SharingVerdict): void;
  authFailed(reason: AuthFailure): void;
  /** A server connection was cleaned for its next client, or could not be. */
  backendReset(status: ResetStatus): void;
  /** A user was looked up by auth_query. */
  userLookedUp(outcome: LookupOutcome): void;
  /** A server connection was looked at for what its client may have left. */
  stateInspected(): void;
  /** A client had left something of this kind on one that counted as clean. */
  stateLeaked(kind: LeakKind): void;
  /** A batch runs on the shared lane, as the last of so many on its connection. */
  sharedBatch(depth: number): void;
  /** A batch that was on the lane is run by itself. */
  sharedReturned(reason: ReturnReason): void;
  /** The client was gone with a transaction, a copy or a batch under way. */
  dirtyDisconnect(): void;
  /** The client, or what it asked for, has taken too long. */
  timeLimitMet(limit: TimeLimit): void;
  /** So many more clients listen, or fewer. */
  listeners(change: number): void;
  /** So many more channels are listened on over shared connections, or fewer. */
  channels(change: number): void;
  notificationsDelivered(count: number): void;
  /** A shared connection was lost while clients listened on it. */
  listenerLost(): void;
  listeningEnded(reason: ListeningEnd): void;
}

export interface Meter {
  /** The handle of this tenant; the same object for the same id and protocol. */
  tenant(id: string, protocol: Protocol): TenantMeter;
  /** A login that reached no tenant. */
  authFailed(reason: AuthFailure): void;
  /** A login has to wait, because too many have failed. */
  loginDelayed(reason: ThrottleReason): void;
  cancelRequested(outcome: CancelOutcome): void;
  /** A client speaks TLS from now on, until `tlsEnded`. */
  tlsBegan(): void;
  tlsEnded(): void;
  tlsFailed(reason: HandshakeFailure): void;
}

const nullTenantMeter: TenantMeter = Object.freeze({
  queryFinished: () => {},
  acquired: () => {},
  pinned: () => {},
  errorAnswered: () => {},
  classified: () => {},
  authFailed: () => {},
  backendReset: () => {},
  userLookedUp: () => {},
  stateInspected: () => {},
  stateLeaked: () => {},
  sharedBatch: () => {},
  sharedReturned: () => {},
  dirtyDisconnect: () => {},
  timeLimitMet: () => {},
  listeners: () => {},
  channels: () => {},
  notificationsDelivered: () => {},
  listenerLost: () => {},
  listeningEnded: () => {},
});

/** Counts nothing. */
export const nullMeter: Meter = Object.freeze({
  tenant: () => nullTenantMeter,
  authFailed: () => {},
  loginDelayed: () => {},
  cancelRequested: () => {},
  tlsBegan: () => {},
  tlsEnded: () => {},
  tlsFailed: () => {},
});
