/**
 * Users that a tenant does not list, as its database knows them (auth_query).
 * Owns: when the database is asked, over connections of the proxy's own, and what its silence
 * means. Leaves: the question to lookup-query.ts, what is kept of answers to found-users.ts.
 */
import { DEFAULT_AUTH_QUERY } from '@dbbouncer/shared/contract/auth-query.ts';
import type { AuthQuery } from '@dbbouncer/shared/contract/auth-query.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { proxyErrors } from '../../../errors.ts';
import type { Router } from '../../../routing/router.ts';
import { tenantChanges } from '../../../routing/snapshot.ts';
import { Credential } from '../../../upstream/credential.ts';
import type { LookupOutcome, Meter } from '../../meter.ts';
import type { Targets } from '../services.ts';
import { NAME_BYTES_MAX } from '../sql/names.ts';
import type { Account, Accounts } from './account.ts';
import { FoundUser, FoundUsers } from './found-users.ts';
import { lookUp } from './lookup-query.ts';

/** Server connections that look users up, for each tenant: they count as the tenant's. */
const LOOKUP_CONNECTIONS_MAX = 2;
/**
 * A wrong password may be a new one: it is asked for again, but not more often than this, whatever
 * somebody tries.
 */
export const ASK_AGAIN_MS = 3_000;

export interface LookupsOptions {
  readonly router: Router;
  readonly targets: Targets;
  readonly accounts: Accounts;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Lookups {
  readonly #options: LookupsOptions;
  readonly #users = new WeakMap<TenantConfig, FoundUsers>();
  /** Under way, one for each login at most: who asks the same waits for the same answer. */
  readonly #asking = new WeakMap<TenantConfig, Map<string, Promise<FoundUser | undefined>>>();

  constructor(options: LookupsOptions) {
    this.#options = options;
    options.router.onSwap((previous, next) => {
      for (const { before, after } of tenantChanges(previous, next, 'known')) {
        if (before !== undefined && after !== undefined) this.#inherit(before, after);
      }
    });
  }

  /**
   * The user of this name; nothing when there is none, or the tenant looks nobody up.
   * @throws AppError USER_LOOKUP_FAILED
   */
  async find(tenant: TenantConfig, name: string): Promise<Account | undefined> {
    const { authQuery } = tenant;
    if (authQuery === undefined || Buffer.byteLength(name) > NAME_BYTES_MAX) return undefined;
    const known = this.#usersOf(tenant).known(name, this.#options.clock.nowMs());
    if (known !== undefined) this.#count(tenant, 'cached');
    const user = known === undefined ? await this.#ask(tenant, authQuery, name) : known.user;
    return user?.accountIn(tenant);
  }

  /** What was last found: those who are not there are asked for their proofs like this one. */
  typical(tenant: TenantConfig): Credential | undefined {
    return tenant.authQuery && this.#usersOf(tenant).typical;
  }

  /** The user's password was not the one that is known: the database is asked at the next login. */
  doubt({ tenant, name }: Account): void {
    this.#usersOf(tenant).doubt(name, this.#options.clock.nowMs(), ASK_AGAIN_MS);
  }

  /** A client has proved to be this user: its password is the user's now. */
  proved(user: FoundUser): void {
    if (user.proved()) this.#options.targets.usersChanged();
  }

  /** At a swap: nothing that is known holds without asking again. */
  #inherit(before: TenantConfig, after: TenantConfig): void {
    const users = this.#users.get(before);
    if (users !== undefined) this.#users.set(after, users.allDoubted());
  }

  #usersOf(tenant: TenantConfig): FoundUsers {
    let users = this.#users.get(tenant);
    if (users === undefined) {
      users = new FoundUsers();
      this.#users.set(tenant, users);
    }
    return users;
  }

  #ask(tenant: TenantConfig, query: AuthQuery, name: string): Promise<FoundUser | undefined> {
    let asking = this.#asking.get(tenant);
    if (asking === undefined) {
      asking = new Map();
      this.#asking.set(tenant, asking);
    }
    const flight = asking.get(name);
    if (flight !== undefined) return flight;
    const answer = this.#answer(tenant, query, name).finally(() => asking.delete(name));
    asking.set(name, answer);
    return answer;
  }

  async #answer(
    tenant: TenantConfig,
    authQuery: AuthQuery,
    name: string,
  ): Promise<FoundUser | undefined> {
    const { targets, accounts, clock, log } = this.#options;
    const { query = DEFAULT_AUTH_QUERY, cacheTtlMs, negativeTtlMs } = authQuery;
    const users = this.#usersOf(tenant);
    try {
      const { pool } = targets.of(lookupAccount(accounts, tenant, authQuery), databaseOf(tenant));
      const text = await lookUp(pool, query, name, clock);
      this.#count(tenant, text === undefined ? 'missing' : 'found');
      const user = text === undefined ? undefined : this.#userOf(users.former(name), name, text);
      users.remember(name, user, clock.nowMs(), user === undefined ? negativeTtlMs : cacheTtlMs);
      return user;
    } catch (error) {
      this.#count(tenant, 'failed');
      const reason = error instanceof Error ? error.message : String(error);
      log.error({ tenant: tenant.id, user: name, reason }, 'a user could not be looked up');
      throw failedLookup(error);
    }
  }

  /** The user as it was, with what its credential has learned, when nothing has changed. */
  #userOf(former: FoundUser | undefined, name: string, text: string): FoundUser {
    const credential = new Credential(text);
    if (former?.credential.fingerprint === credential.fingerprint) return former;
    return new FoundUser(name, credential, this.#options.accounts, former);
  }

  #count({ id, protocol }: TenantConfig, outcome: LookupOutcome): void {
    this.#options.meter.tenant(id, protocol).userLookedUp(outcome);
  }
}

function databaseOf({ authQuery, database }: TenantConfig): string {
  return authQuery?.database ?? database;
}

/** Who asks: a user of its own, or the tenant's. */
function lookupAccount(accounts: Accounts, tenant: TenantConfig, authQuery: AuthQuery): Account {
  const known = lookupAccounts.get(tenant);
  if (known !== undefined) return known;
  const { user = tenant.username, password = tenant.password } = authQuery;
  const server = accounts.withSecret(tenant, password);
  const account: Account = {
    tenant,
    name: user,
    serverUser: user,
    purpose: 'auth_query',
    clientCredential: server.serverCredential,
    ...server,
    maxConnections: LOOKUP_CONNECTIONS_MAX,
    member: () => ({
      accountIn: (later) =>
        later.authQuery === undefined ? undefined : lookupAccount(accounts, later, later.authQuery),
    }),
  };
  lookupAccounts.set(tenant, account);
  return account;
}

const lookupAccounts = new WeakMap<TenantConfig, Account>();

/** The client learns that nobody can be looked up, and nothing about the user or the database. */
function failedLookup(cause: unknown): AppError {
  return proxyErrors.fail('USER_LOOKUP_FAILED', 'users cannot be looked up at the moment', {
    hint: "Try again; if it stays so, the proxy's log has the reason.",
    cause,
  });
}
