/**
 * The proof that a client knows the password of a tenant's user. Who does not exist is asked for
 * one too.
 * Owns: who is asked for what, and that every failure reads alike. Leaves: the conversations to
 * auth/proofs.ts, who is a user to auth/account.ts.
 * Source: PostgreSQL manual, "Password Authentication", "SASL Authentication".
 */
import type { ClientAuth } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { proxyErrors } from '../../errors.ts';
import type { Resolution } from '../../routing/resolve-tenant.ts';
import { Credential, SCRAM_ITERATIONS } from '../../upstream/credential.ts';
import { formatVerifier, mockVerifier, userSalt } from '../../wire/postgres/scram.ts';
import type { AuthFailure } from '../meter.ts';
import type { Account } from './auth/account.ts';
import { askForMd5, askForPassword, proveByScram } from './auth/proofs.ts';
import type { LoginReader } from './login-reader.ts';
import type { SessionServices } from './services.ts';

export type Claimant = Exclude<Resolution, { kind: 'conflict' }>;

/**
 * Resolves when the client is who it says, with who that is.
 * @param presentedUser with whatever selector it holds: what an md5 answer is made of, and errors
 * name.
 * @throws AppError AUTH_FAILED | USER_LOOKUP_FAILED; WireError, ClientGone
 */
export async function authenticate(
  reader: LoginReader,
  services: SessionServices,
  claimant: Claimant,
  presentedUser: string,
): Promise<Account> {
  const found = accountOf(services, claimant);
  const account = found instanceof Promise ? await found : found;
  const expected = expectedOf(services, claimant, account);
  const { kind } = expected.credential ?? expected.typical ?? { kind: 'password' };
  const method = methodFor(reader, clientAuthOf(services, claimant, expected), kind);
  const isProved = await prove(reader, services, claimant, { expected, method, presentedUser });
  if (isProved && account !== undefined) {
    if (account.found !== undefined) services.lookups.proved(account.found);
    return account;
  }
  if (account?.found !== undefined) services.lookups.doubt(account);
  const isUnfit = method === 'scram' && expected.credential?.kind === 'md5_verifier';
  count(services, claimant, isUnfit ? 'method_refused' : expected.failure);
  // As presented: a selector that was taken off would tell that there is such a tenant.
  const text = `password authentication failed for user "${presentedUser}"`;
  throw proxyErrors.fail('AUTH_FAILED', text);
}

/** Who may be there: all that has to be known before the client proves anything. */
interface Expected {
  /** Without both, no proof will do. */
  readonly account?: Account;
  readonly credential?: Credential;
  /** What somebody who is not there is asked for as if it were his. */
  readonly typical?: Credential | undefined;
  /** Why the client would fail, as the operator may know it. */
  readonly failure: AuthFailure;
}

/** At once where the config names it. */
function accountOf(
  services: SessionServices,
  claimant: Claimant,
): Account | Promise<Account | undefined> | undefined {
  if (claimant.kind === 'unknown') return undefined;
  const { tenant, user } = claimant;
  return services.accounts.find(tenant, user) ?? lookedUp(services, tenant, user);
}

function expectedOf(
  services: SessionServices,
  claimant: Claimant,
  account: Account | undefined,
): Expected {
  if (claimant.kind === 'unknown') return { failure: claimant.reason };
  const { tenant } = claimant;
  if (account === undefined) {
    return { typical: services.lookups.typical(tenant), failure: 'unknown_user' };
  }
  try {
    return { account, credential: account.clientCredential(), failure: 'wrong_password' };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    services.log.error({ tenant: tenant.id, reason: error.message }, 'a password cannot be opened');
    return { failure: 'secret_unavailable' };
  }
}

async function lookedUp(
  services: SessionServices,
  tenant: TenantConfig,
  user: string,
): Promise<Account | undefined> {
  try {
    return await services.lookups.find(tenant, user);
  } catch (error) {
    services.meter.tenant(tenant.id, tenant.protocol).authFailed('lookup_failed');
    throw error;
  }
}

/** What is asked of clients: as the user, the tenant or the fleet says. */
function clientAuthOf(
  { router }: SessionServices,
  claimant: Claimant,
  { account }: Expected,
): ClientAuth {
  const settings = claimant.kind === 'tenant' ? claimant.pool : router.current.config.defaults;
  return account?.clientAuth ?? settings.clientAuth;
}

type Method = 'scram' | 'md5' | 'cleartext';

/** SCRAM wherever a weaker method is not needed, or not safe. */
function methodFor(
  { channel }: LoginReader,
  clientAuth: ClientAuth,
  kind: Credential['kind'],
): Method {
  switch (clientAuth) {
    case 'scram-sha-256':
      return 'scram';
    case 'md5':
      return kind === 'scram_verifier' ? 'scram' : 'md5';
    case 'cleartext':
      return channel === undefined ? 'scram' : 'cleartext';
    case 'cleartext_without_tls':
      return 'cleartext';
    default:
      return unreachable(clientAuth);
  }
}

interface Asked {
  readonly expected: Expected;
  readonly method: Method;
  readonly presentedUser: string;
}

/** Whether the client has proved to know the credential; who has none goes the same way. */
async function prove(
  reader: LoginReader,
  services: SessionServices,
  claimant: Claimant,
  { expected, method, presentedUser }: Asked,
): Promise<boolean> {
  const salt = saltOf(services, claimant);
  const { credential, typical } = expected;
  const standIn = () => mockVerifier(salt, typical?.iterations ?? SCRAM_ITERATIONS);
  switch (method) {
    case 'scram': {
      const known = credential?.verifier(salt);
      const verifier = known instanceof Promise ? await known : known;
      const verdict = await proveByScram(reader, verifier ?? standIn());
      if (verdict.outcome === 'accepted') credential?.learn(verdict.clientKey);
      return verdict.outcome === 'accepted';
    }
    case 'md5': {
      const { answer, challenge } = await askForMd5(reader);
      return credential?.fitsMd5(presentedUser, answer, challenge) ?? false;
    }
    case 'cleartext': {
      const password = await askForPassword(reader);
      const checked = credential ?? new Credential(formatVerifier(standIn()));
      return checked.fitsCleartext(claimant.user, password);
    }
    default:
      return unreachable(method);
  }
}

/**
 * Users with a password and those that do not exist get their salts in the same way: the same one
 * for the same words on every proxy, whether there is such a tenant or not.
 */
function saltOf(services: SessionServices, claimant: Claimant): Buffer {
  const tenant = claimant.kind === 'tenant' ? claimant.tenant.id : (claimant.claimed ?? '');
  return userSalt({ fleetSecret: services.mockSecret(), tenant, user: claimant.user });
}

function count(services: SessionServices, claimant: Claimant, reason: AuthFailure): void {
  if (claimant.kind !== 'tenant') return;
  const { tenant, user } = claimant;
  services.meter.tenant(tenant.id, tenant.protocol).authFailed(reason);
  services.log.warn({ tenant: tenant.id, user, reason }, 'login refused');
}
