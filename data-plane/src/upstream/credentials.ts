/**
 * What the proxy knows to log a tenant's user in on the server, and to check that user's clients.
 * Owns: opening the password once, and the slow derivations from it (SCRAM), each done once per
 * password and salt.
 */
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import { deriveKeys, verifierFromKeys } from '../wire/postgres/scram.ts';
import type { ScramKeys, ScramVerifier } from '../wire/postgres/scram.ts';

/** Opens sealed secrets and references; shared/secrets has the real one. */
export interface SecretOpener {
  /** @throws AppError SECRET_UNAVAILABLE */
  open(secret: Secret, tenantId: string): string;
}

/** The iteration count of PostgreSQL's own verifiers (scram_iterations). */
export const SCRAM_ITERATIONS = 4096;
/** Servers give each role one salt; more than a few are cached only around password changes. */
const DERIVED_MAX = 8;

export class TenantCredentials {
  readonly password: string;
  readonly #derived = new Map<string, Promise<ScramKeys>>();

  constructor(password: string) {
    this.password = password;
  }

  /** The SCRAM keys of the password under a salt; derived off the event loop, once. */
  keys(salt: Buffer, iterations: number): Promise<ScramKeys> {
    const cacheKey = `${iterations}:${salt.toString('base64')}`;
    let keys = this.#derived.get(cacheKey);
    if (keys === undefined) {
      keys = deriveKeys(this.password, salt, iterations);
      if (this.#derived.size >= DERIVED_MAX) this.#derived.clear();
      this.#derived.set(cacheKey, keys);
    }
    return keys;
  }

  async verifier(salt: Buffer): Promise<ScramVerifier> {
    return verifierFromKeys(await this.keys(salt, SCRAM_ITERATIONS), salt, SCRAM_ITERATIONS);
  }
}

/**
 * Credentials by tenant config: a changed password is another config object, so nothing stale is
 * ever used.
 */
export class CredentialStore {
  readonly #opener: SecretOpener;
  readonly #byTenant = new WeakMap<TenantConfig, TenantCredentials>();

  constructor(opener: SecretOpener) {
    this.#opener = opener;
  }

  /** @throws AppError SECRET_UNAVAILABLE; tried again at the next call. */
  of(tenant: TenantConfig): TenantCredentials {
    let credentials = this.#byTenant.get(tenant);
    if (credentials === undefined) {
      credentials = new TenantCredentials(this.#opener.open(tenant.password, tenant.id));
      this.#byTenant.set(tenant, credentials);
    }
    return credentials;
  }
}
