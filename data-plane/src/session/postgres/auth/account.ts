/**
 * Who a session is: the user its client has proved to be, and the user it is on the server.
 * Owns: the users that a tenant's config names, and how a session follows one of them through
 * changes of the config. Leaves: users that are looked up to lookups.ts, proofs to authenticate.ts,
 * credentials to upstream/.
 */
import { sealedFingerprint } from '@dbbouncer/shared/contract/pool-identity.ts';
import type { PoolPurpose } from '@dbbouncer/shared/contract/pool-identity.ts';
import type { ClientAuth, PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import type { TenantUser } from '@dbbouncer/shared/contract/tenant-users.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { CredentialStore } from '../../../upstream/credentials.ts';
import type { Credential } from '../../../upstream/credential.ts';
import type { FoundUser } from './found-users.ts';

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
  readonly clientAuth?: ClientAuth | undefined;
  /** Set when the tenant's database was asked for it. */
  readonly found?: FoundUser;
  /** How sessions go on as this user: one for all of them. */
  readonly member: () => Member;
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

  /** The user of this name, if the config has one with a password. */
  find(tenant: TenantConfig, name: string): Account | undefined {
    return this.#of(tenant).get(name);
  }

  /** Those whose server connections are of `serverUser`. */
  withServerUser(tenant: TenantConfig, serverUser: string): readonly Account[] {
    const accounts = [...this.#of(tenant).values()];
    return accounts.filter((account) => account.serverUser === serverUser);
  }

  /** At a swap: what is the same under the new config stays what it was. */
  inherit(before: TenantConfig, after: TenantConfig): void {
    this.#credentials.inherit(before, after);
  }

  /** An account whose server connections log in with `secret`, one of the tenant's. */
  withSecret(
    tenant: TenantConfig,
    secret: Secret,
  ): Pick<Account, 'serverCredential' | 'fingerprint'> {
    const serverCredential = () => this.#credentials.of(tenant, secret);
    return { serverCredential, fingerprint: () => fingerprintOf(serverCredential, secret) };
  }

  #of(tenant: TenantConfig): ReadonlyMap<string, Account> {
    let accounts = this.#byTenant.get(tenant);
    if (accounts === undefined) {
      const { username, password, users = [] } = tenant;
      const own = this.#account(tenant, { name: username }, password);
      const listed = users.flatMap((user) =>
        user.password === undefined ? [] : [this.#account(tenant, user, user.password)],
      );
      accounts = new Map([...listed, own].map((account) => [account.name, account]));
      this.#byTenant.set(tenant, accounts);
    }
    return accounts;
  }

  #account(tenant: TenantConfig, user: TenantUser, password: Secret): Account {
    let member: Member | undefined;
    const account: Account = {
      ...accountTerms(tenant, user),
      clientCredential: () => this.#credentials.of(tenant, password),
      ...this.withSecret(tenant, user.serverPassword ?? password),
      member: () => (member ??= new NamedMember(this, account)),
    };
    return account;
  }
}

/** What the config says of a user, whatever proves who that is. */
export function accountTerms(tenant: TenantConfig, user: TenantUser) {
  return {
    tenant,
    name: user.name,
    serverUser: user.serverUser ?? user.name,
    purpose: 'clients',
    maxConnections: user.maxConnections,
    maxClientConnections: user.maxClientConnections,
    poolMode: user.poolMode,
    clientAuth: user.clientAuth,
  } as const;
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
  readonly #name: string;
  #tenant: TenantConfig;
  #latest: Account | undefined;

  constructor(accounts: Accounts, account: Account) {
    this.#accounts = accounts;
    this.#is = account.name === account.tenant.username ? 'own' : 'listed';
    this.#name = account.name;
    this.#tenant = account.tenant;
    this.#latest = account;
  }

  accountIn(tenant: TenantConfig): Account | undefined {
    if (tenant === this.#tenant) return this.#latest;
    const name = this.#is === 'own' ? tenant.username : this.#name;
    this.#tenant = tenant;
    this.#latest = this.#accounts.find(tenant, name);
    return this.#latest;
  }
}
