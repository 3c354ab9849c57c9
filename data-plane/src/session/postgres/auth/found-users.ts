/**
 * The users of one tenant that were looked up, as long as the answers hold.
 * Owns: the cache and its bounds, and what a session goes on as when a user's password was changed
 * in the database. Leaves: asking to lookups.ts.
 */
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Credential } from '../../../upstream/credential.ts';
import { accountTerms } from './account.ts';
import type { Account, Accounts, Member } from './account.ts';

/** Of one tenant; the one looked up longest ago is forgotten for the next. */
export const FOUND_USERS_MAX = 1_000;
/** Names without a user, apart: nobody pushes real users out by inventing names. */
export const MISSING_USERS_MAX = 1_000;

/** A user as the database had it at one time. */
export class FoundUser {
  readonly name: string;
  readonly credential: Credential;
  readonly #accounts: Accounts;
  /** The same user under an earlier password, which sessions may have been opened with. */
  #former: FoundUser | undefined;
  #state: 'unproved' | 'proved' = 'unproved';
  #successor: FoundUser | undefined;
  #account: Account | undefined;
  #member: Member | undefined;

  constructor(name: string, credential: Credential, accounts: Accounts, former?: FoundUser) {
    this.name = name;
    this.credential = credential;
    this.#accounts = accounts;
    const isProved = former === undefined || former.#state === 'proved';
    this.#former = isProved ? former : former.#former;
  }

  /** The same user under its newest password that somebody has proved to know. */
  get newest(): FoundUser {
    if (this.#successor === undefined) return this;
    this.#successor = this.#successor.newest;
    return this.#successor;
  }

  /**
   * Somebody has proved to know this password: sessions opened with the one before go on with it.
   * @returns whether there was one before.
   */
  proved(): boolean {
    this.#state = 'proved';
    const former = this.#former;
    this.#former = undefined;
    if (former !== undefined) former.#successor = this;
    return former !== undefined;
  }

  accountIn(tenant: TenantConfig): Account {
    if (this.#account?.tenant === tenant) return this.#account;
    const user = tenant.users?.find(({ name }) => name === this.name) ?? { name: this.name };
    const { credential } = this;
    const account: Account = {
      ...accountTerms(tenant, user),
      clientCredential: () => credential,
      serverCredential: () => credential,
      fingerprint: () => credential.fingerprint,
      ...(user.serverPassword && this.#accounts.withSecret(tenant, user.serverPassword)),
      found: this,
      member: () => (this.#member ??= new FoundMember(this, this.#accounts)),
    };
    this.#account = account;
    return account;
  }
}

/** As long as its tenant looks users up. Once the config names the user, it is that one. */
class FoundMember implements Member {
  readonly #accounts: Accounts;
  #user: FoundUser;

  constructor(user: FoundUser, accounts: Accounts) {
    this.#user = user;
    this.#accounts = accounts;
  }

  accountIn(tenant: TenantConfig): Account | undefined {
    this.#user = this.#user.newest;
    const named = this.#accounts.find(tenant, this.#user.name);
    if (named !== undefined) return named;
    return tenant.authQuery === undefined ? undefined : this.#user.accountIn(tenant);
  }
}

interface Answer {
  /** Nothing: there is no such user. */
  readonly user: FoundUser | undefined;
  readonly askedMs: number;
  untilMs: number;
}

export class FoundUsers {
  readonly #found = new Map<string, Answer>();
  readonly #missing = new Map<string, Answer>();
  #typical: Credential | undefined;

  /** What was found last. */
  get typical(): Credential | undefined {
    return this.#typical;
  }

  /** What is known of `name` and still holds. */
  known(name: string, nowMs: number): Answer | undefined {
    const answer = this.#found.get(name) ?? this.#missing.get(name);
    return answer !== undefined && nowMs < answer.untilMs ? answer : undefined;
  }

  /** What was known of `name`, whether it holds or not. */
  former(name: string): FoundUser | undefined {
    return this.#found.get(name)?.user;
  }

  remember(name: string, user: FoundUser | undefined, nowMs: number, ttlMs: number): void {
    this.#found.delete(name);
    this.#missing.delete(name);
    this.#typical = user?.credential ?? this.#typical;
    const [answers, max] =
      user === undefined ? [this.#missing, MISSING_USERS_MAX] : [this.#found, FOUND_USERS_MAX];
    for (const oldest of answers.keys()) {
      if (answers.size < max) break;
      answers.delete(oldest);
    }
    answers.set(name, { user, askedMs: nowMs, untilMs: nowMs + ttlMs });
  }

  /** What was asked longer ago than `ageMs` is to be asked again. */
  doubt(name: string, nowMs: number, ageMs: number): void {
    const answer = this.#found.get(name);
    if (answer !== undefined && nowMs - answer.askedMs >= ageMs) answer.untilMs = nowMs;
  }

  /** The same users, each to be asked for again before it is anybody. */
  allDoubted(): FoundUsers {
    const heir = new FoundUsers();
    heir.#typical = this.#typical;
    for (const [name, { user, askedMs }] of this.#found) {
      heir.#found.set(name, { user, askedMs, untilMs: askedMs });
    }
    return heir;
  }
}
