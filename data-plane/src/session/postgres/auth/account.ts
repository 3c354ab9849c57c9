/**
 * Who a session is: the user its client has proved to be, and the user it is on the server.
 * Owns: the users that a tenant's config names, and how a session follows one of them through
 * changes of the config. Leaves: proofs to authenticate.ts, credentials to upstream/.
 */
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { CredentialStore } from '../../../upstream/credentials.ts';
import type { Credential } from '../../../upstream/credential.ts';
import { sealedFingerprint } from '../../../routing/pool-identity.ts';
import type { PoolPurpose } from '../../../routing/pool-identity.ts';

/** Of one tenant config; never changes. */
export interface Account {
  readonly tenant: TenantConfig;
  /** As clients present it, without a selector. */
  readonly name: string;
  /** What a client must prove to know. @throws AppError SECRET_UNAVAILABLE */
  readonly clientCredential: () => Credential;
  /** @throws AppError SECRET_UNAVAILABLE */
  readonly serverCredential: () => Credential;
  /** Its user on the server. */
  readonly serverUser: string;
  /** What its server connections are for. */
  readonly purpose: PoolPurpose;
  /** Equal for equal server credentials; of its sealed form where that cannot be opened. */
  readonly fingerprint: () => string;
  /** Server connections of the server user at most, beside the tenant's own limit. */
  readonly maxConnections?: number | undefined;
  /** Clients that may be logged in as this user at once. */
  readonly maxClientConnections?: number | undefined;
  /** Instead of the tenant's. */
  readonly poolMode?: PoolMode | undefined;
}

/** One user of a tenant, whatever becomes of the tenant's config. */
export interface Member {
  /** The user under `tenant`, a later config of its tenant; nothing when it is not one any more. */
  accountIn(tenant: TenantConfig): Account | undefined;
}

/** The users that configs name, by config: made once for each. */
export class Accounts {
  readonly #credentials: CredentialStore;
  readonly #byTenant = new WeakMap<TenantConfig, ReadonlyMap<string, Account>>();

  constructor(credentials: CredentialStore) {
    this.#credentials = credentials;
  }

  /** The user of this name, if the config names one. */
  find(tenant: TenantConfig, name: string): Account | undefined {
    return this.#of(tenant).get(name);
  }

  /** Those whose server connections are of `serverUser`. */
  withServerUser(tenant: TenantConfig, serverUser: string): readonly Account[] {
    const accounts = [...this.#of(tenant).values()];
    return accounts.filter((account) => account.serverUser === serverUser);
  }

  /** How a session goes on as the user it has logged in as. */
  member(account: Account): Member {
    return new NamedMember(this, account);
  }

  /** At a swap: what is the same under the new config stays what it was. */
  inherit(before: TenantConfig, after: TenantConfig): void {
    this.#credentials.inherit(before, after);
  }

  #of(tenant: TenantConfig): ReadonlyMap<string, Account> {
    let accounts = this.#byTenant.get(tenant);
    if (accounts === undefined) {
      accounts = new Map([[tenant.username, this.#own(tenant)]]);
      this.#byTenant.set(tenant, accounts);
    }
    return accounts;
  }

  /** The tenant's own user. */
  #own(tenant: TenantConfig): Account {
    const credential = () => this.#credentials.of(tenant, tenant.password);
    return {
      tenant,
      name: tenant.username,
      clientCredential: credential,
      serverCredential: credential,
      serverUser: tenant.username,
      purpose: 'clients',
      fingerprint: () => fingerprintOf(credential, tenant.password),
    };
  }
}

function fingerprintOf(credential: () => Credential, secret: Secret): string {
  try {
    return credential().fingerprint;
  } catch (error) {
    if (error instanceof AppError) return sealedFingerprint(secret);
    throw error;
  }
}

/** A user that the config names. The tenant's own one stays that when it is renamed. */
class NamedMember implements Member {
  readonly #accounts: Accounts;
  readonly #is: 'own' | 'listed';
  #latest: Account | undefined;
  #name: string;
  #tenant: TenantConfig;

  constructor(accounts: Accounts, account: Account) {
    this.#accounts = accounts;
    this.#latest = account;
    this.#name = account.name;
    this.#tenant = account.tenant;
    this.#is = account.name === account.tenant.username ? 'own' : 'listed';
  }

  accountIn(tenant: TenantConfig): Account | undefined {
    if (tenant === this.#tenant) return this.#latest;
    this.#tenant = tenant;
    if (this.#is === 'own') this.#name = tenant.username;
    this.#latest = this.#accounts.find(tenant, this.#name);
    return this.#latest;
  }
}
