/**
 * Slows down who fails too often, by address and by tenant. Failures fill a bucket that leaks; what
 * comes while it is full has to wait, twice as long with each further failure, and is then served
 * like anybody else. So guessing gets slow, and nobody who knows his password is shut out, not even
 * behind an address that he shares with somebody who guesses.
 * Owns: what is remembered of failures, and its bounds. Leaves: what counts as a failure, and what
 * a client reads, to the session.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { proxyErrors } from '../errors.ts';
import type { ClientAddress } from './client-address.ts';
import { LeakyBuckets } from './leaky-buckets.ts';

export interface ThrottleSettings {
  /** Failures that an address has free, and that leak away within `perMs`; 0: no throttling. */
  readonly failures: number;
  readonly perMs: number;
  /** The first wait; doubled with each further failure, up to `delayMsMax`. */
  readonly delayMs: number;
  readonly delayMsMax: number;
}

/**
 * Whose failures make a client wait: those of its address, those at its tenant from anywhere, or,
 * for an address from which somebody has logged in to the tenant before, those of the two together.
 */
export type ThrottleReason = 'address' | 'tenant' | 'known_client';

export interface ThrottleVerdict {
  readonly delayMs: number;
  readonly reason: ThrottleReason;
}

/** What one attempt is counted under. */
export interface Attempt {
  readonly address: ClientAddress;
  /** As the client named it, known or not: both must look alike. Absent: of no tenant. */
  readonly tenant: string | undefined;
}

/** A tenant has as many failures free as so many addresses. */
const TENANT_FACTOR = 10;
const ADDRESSES_MAX = 50_000;
const TENANTS_MAX = 10_000;
const KNOWN_CLIENTS_MAX = 50_000;
/** Who waits at once: of one address, and of all. */
const HELD_PER_ADDRESS_MAX = 20;
const HELD_MAX = 1_000;
/** A provider gives each customer a /64 at least; who has one has all its addresses. */
const IPV6_BYTES_COUNTED = 8;

export class AttemptThrottle {
  readonly #settings: ThrottleSettings;
  readonly #clock: Clock;
  readonly #addresses: LeakyBuckets;
  readonly #tenants: LeakyBuckets;
  /** Address and tenant of those who have succeeded: nobody else's failures slow them down. */
  readonly #knownClients: LeakyBuckets;
  readonly #heldByAddress = new Map<string, number>();
  #held = 0;

  constructor(settings: ThrottleSettings, clock: Clock) {
    const { failures, perMs, delayMs, delayMsMax } = settings;
    this.#settings = settings;
    this.#clock = clock;
    // Beyond the longest wait, failures are not remembered: nobody is slow for good.
    const above = Math.ceil(Math.log2(Math.max(1, delayMsMax / Math.max(1, delayMs)))) + 1;
    const buckets = (free: number, keysMax: number) =>
      new LeakyBuckets({ levelMax: free + above, leakPerMs: free / perMs, keysMax });
    this.#addresses = buckets(failures, ADDRESSES_MAX);
    this.#tenants = buckets(failures * TENANT_FACTOR, TENANTS_MAX);
    this.#knownClients = buckets(failures, KNOWN_CLIENTS_MAX);
  }

  /** How long this attempt has to wait; undefined when it need not. */
  judge(attempt: Attempt): ThrottleVerdict | undefined {
    const { failures } = this.#settings;
    if (failures === 0) return undefined;
    const { address, tenant, knownClient } = keysOf(attempt);
    const nowMs = this.#clock.nowMs();
    const ownLevel = this.#knownClients.level(knownClient, nowMs);
    if (ownLevel !== undefined) return this.#verdict('known_client', ownLevel - failures);
    const ofAddress = (this.#addresses.level(address, nowMs) ?? 0) - failures;
    const ofTenant =
      tenant === undefined
        ? -failures
        : (this.#tenants.level(tenant, nowMs) ?? 0) - failures * TENANT_FACTOR;
    return ofAddress >= ofTenant
      ? this.#verdict('address', ofAddress)
      : this.#verdict('tenant', ofTenant);
  }

  #verdict(reason: ThrottleReason, excess: number): ThrottleVerdict | undefined {
    if (excess < 0) return undefined;
    const { delayMs, delayMsMax } = this.#settings;
    return { reason, delayMs: Math.min(delayMsMax, Math.round(delayMs * 2 ** excess)) };
  }

  /**
   * Waits as long as `verdict` says.
   * @throws AppError LOGIN_THROTTLED: too many wait already
   */
  async hold({ address }: Attempt, { delayMs }: ThrottleVerdict): Promise<void> {
    const key = addressKey(address);
    const ofAddress = this.#heldByAddress.get(key) ?? 0;
    if (ofAddress >= HELD_PER_ADDRESS_MAX) {
      throw tooManyHeld('from this address', HELD_PER_ADDRESS_MAX, delayMs);
    }
    if (this.#held >= HELD_MAX) throw tooManyHeld('at this proxy', HELD_MAX, delayMs);
    this.#held += 1;
    this.#heldByAddress.set(key, ofAddress + 1);
    await new Promise<void>((resolve) => {
      this.#clock.after(delayMs, resolve);
    });
    this.#held -= 1;
    const left = (this.#heldByAddress.get(key) ?? 1) - 1;
    if (left === 0) this.#heldByAddress.delete(key);
    else this.#heldByAddress.set(key, left);
  }

  failed(attempt: Attempt): void {
    if (this.#settings.failures === 0) return;
    const { address, tenant, knownClient } = keysOf(attempt);
    const nowMs = this.#clock.nowMs();
    if (this.#knownClients.level(knownClient, nowMs) !== undefined) {
      return this.#knownClients.add(knownClient, 1, nowMs);
    }
    this.#addresses.add(address, 1, nowMs);
    if (tenant !== undefined) this.#tenants.add(tenant, 1, nowMs);
  }

  succeeded(attempt: Attempt): void {
    if (this.#settings.failures === 0) return;
    this.#knownClients.add(keysOf(attempt).knownClient, 0, this.#clock.nowMs());
  }

  /** Addresses, tenants and clients that are remembered; for tests of the bounds. */
  get remembered(): number {
    return this.#addresses.size + this.#tenants.size + this.#knownClients.size;
  }
}

function keysOf({ address, tenant }: Attempt) {
  const from = addressKey(address);
  const at = tenant?.toLowerCase();
  return { address: from, tenant: at, knownClient: `${from} ${at ?? ''}` };
}

/** Clients from one machine share their address, and so this text of it. */
const addressKeys = new WeakMap<ClientAddress, string>();

function addressKey(address: ClientAddress): string {
  if (address.kind !== 'ip') return address.kind;
  let key = addressKeys.get(address);
  if (key === undefined) {
    const { family, bytes } = address.ip;
    key = (family === 4 ? bytes : bytes.slice(0, IPV6_BYTES_COUNTED)).join('.');
    addressKeys.set(address, key);
  }
  return key;
}

function tooManyHeld(where: string, limit: number, delayMs: number): AppError {
  const message = `too many logins have failed: ${limit} more wait ${where} already`;
  return proxyErrors.fail('LOGIN_THROTTLED', message, {
    hint: `Try again in ${Math.ceil(delayMs / 1_000)} s; login_throttle has the limits.`,
  });
}
