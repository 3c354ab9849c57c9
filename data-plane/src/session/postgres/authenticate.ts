/**
 * The proof that a client knows the password of a tenant's user. Who does not exist is asked for
 * one too.
 * Owns: who is asked for what, and that every failure reads alike. Leaves: the conversations to
 * auth/proofs.ts, who is a user to auth/account.ts.
 * Source: PostgreSQL manual, "Password Authentication", "SASL Authentication".
 */
import { createHmac } from 'node:crypto';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { proxyErrors } from '../../errors.ts';
import type { Resolution } from '../../routing/resolve-tenant.ts';
import { SCRAM_ITERATIONS } from '../../upstream/credential.ts';
import type { Credential } from '../../upstream/credential.ts';
import { mockVerifier } from '../../wire/postgres/scram.ts';
import type { ScramVerifier } from '../../wire/postgres/scram.ts';
import type { AuthFailure } from '../meter.ts';
import type { Account } from './auth/account.ts';
import { proveByScram } from './auth/proofs.ts';
import type { LoginReader } from './login-reader.ts';
import type { SessionServices } from './services.ts';

export type Claimant = Exclude<Resolution, { kind: 'conflict' }>;

/**
 * Resolves when the client is who it says, with who that is.
 * @throws AppError AUTH_FAILED; WireError, ClientGone
 */
export async function authenticate(
  reader: LoginReader,
  services: SessionServices,
  claimant: Claimant,
): Promise<Account> {
  const expected = expectedOf(services, claimant);
  const salt = saltOf(services, claimant);
  const verifier = (await expected.credential?.verifier(salt)) ?? mock(services, claimant, salt);
  const verdict = await proveByScram(reader, verifier);
  const { account, credential } = expected;
  if (verdict.outcome === 'refused' || account === undefined || credential === undefined) {
    throw refusal(services, claimant, expected.failure);
  }
  credential.learn(verdict.clientKey);
  return account;
}

/** Who may be there: all that has to be known before the client proves anything. */
interface Expected {
  /** Nothing: no proof will do. */
  readonly account?: Account;
  readonly credential?: Credential;
  /** Why the client would fail, as the operator may know it. */
  readonly failure: AuthFailure;
}

function expectedOf(services: SessionServices, claimant: Claimant): Expected {
  if (claimant.kind === 'unknown') return { failure: claimant.reason };
  const { tenant, user } = claimant;
  const account = services.accounts.find(tenant, user);
  if (account === undefined) return { failure: 'unknown_user' };
  try {
    return { account, credential: account.clientCredential(), failure: 'wrong_password' };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    services.log.error({ tenant: tenant.id, reason: error.message }, 'a password cannot be opened');
    return { failure: 'secret_unavailable' };
  }
}

/** What the claimant's names are, the same for a tenant that exists and for one that does not. */
function claimedTenant(claimant: Claimant): string {
  return claimant.kind === 'tenant' ? claimant.tenant.id : (claimant.claimed ?? '');
}

function mock(services: SessionServices, claimant: Claimant, salt: Buffer): ScramVerifier {
  const { user } = claimant;
  const tenant = claimedTenant(claimant);
  const fleetSecret = services.mockSecret();
  const verifier = mockVerifier({ fleetSecret, tenant, user, iterations: SCRAM_ITERATIONS });
  return { ...verifier, salt };
}

const SALT_BYTES = 16;

/**
 * Users with a password and those that do not exist get their salts in the same way: the same one
 * for the same words on every proxy.
 */
function saltOf(services: SessionServices, claimant: Claimant): Buffer {
  const text = `salt\0${claimedTenant(claimant).toLowerCase()}\0${claimant.user}`;
  const digest = createHmac('sha256', services.mockSecret()).update(text).digest();
  return digest.subarray(0, SALT_BYTES);
}

function refusal(services: SessionServices, claimant: Claimant, failure: AuthFailure): AppError {
  if (claimant.kind === 'tenant') {
    const { tenant } = claimant;
    services.meter.tenant(tenant.id, tenant.protocol).authFailed(failure);
    services.log.warn({ tenant: tenant.id, user: claimant.user, reason: failure }, 'login refused');
  }
  return proxyErrors.fail(
    'AUTH_FAILED',
    `password authentication failed for user "${claimant.user}"`,
  );
}
