/**
 * The proof that a client knows the password of a tenant's user. Who does not exist is asked for
 * one too.
 * Owns: the conversation, and that every failure reads alike. Leaves: SCRAM's arithmetic to
 * wire/postgres/scram.
 * Source: PostgreSQL manual, "SASL Authentication"; RFC 5802, RFC 7677.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { proxyErrors } from '../../errors.ts';
import type { Resolution } from '../../routing/resolve-tenant.ts';
import { SCRAM_ITERATIONS } from '../../upstream/credentials.ts';
import {
  encodeAuthenticationSASL,
  encodeAuthenticationSASLContinue,
  encodeAuthenticationSASLFinal,
} from '../../wire/postgres/authentication-messages.ts';
import { decodeSASLInitialResponse, FRONTEND } from '../../wire/postgres/frontend-messages.ts';
import { mockVerifier, SCRAM_SHA_256, scramNonce } from '../../wire/postgres/scram.ts';
import type { ScramVerifier } from '../../wire/postgres/scram.ts';
import { ScramServer } from '../../wire/postgres/scram-server.ts';
import { WireError } from '../../wire/wire-error.ts';
import type { AuthFailure } from '../meter.ts';
import type { LoginReader } from './login-reader.ts';
import type { SessionServices } from './services.ts';

const NONCE_BYTES = 18;

export type Claimant = Exclude<Resolution, { kind: 'conflict' }>;

/** Resolves when the client is who it says. @throws AppError AUTH_FAILED; WireError, ClientGone */
export async function authenticate(
  reader: LoginReader,
  services: SessionServices,
  claimant: Claimant,
): Promise<void> {
  const { verifier, failure } = await verifierOf(services, claimant);
  reader.socket.write(encodeAuthenticationSASL([SCRAM_SHA_256]));
  const initial = decodeSASLInitialResponse(await reader.message(FRONTEND.Password));
  if (initial.mechanism !== SCRAM_SHA_256) {
    throw new WireError(`SASL mechanism "${initial.mechanism}" was not offered`);
  }
  const nonce = scramNonce(randomBytes(NONCE_BYTES));
  const scram = new ScramServer({ mechanism: SCRAM_SHA_256, verifier, nonce });
  const serverFirst = scram.first(initial.data ?? (await emptyChallenge(reader)));
  reader.socket.write(encodeAuthenticationSASLContinue(serverFirst));
  const verdict = scram.final(await reader.message(FRONTEND.Password));
  if (verdict.outcome === 'refused') throw refusal(services, claimant, failure);
  reader.socket.write(encodeAuthenticationSASLFinal(verdict.serverFinal));
}

/** A client that sent no initial response is asked for it with an empty challenge. */
async function emptyChallenge(reader: LoginReader): Promise<Buffer> {
  reader.socket.write(encodeAuthenticationSASLContinue(''));
  return reader.message(FRONTEND.Password);
}

interface Expected {
  readonly verifier: ScramVerifier;
  /** Why the client would fail, as the operator may know it. */
  readonly failure: AuthFailure;
}

async function verifierOf(services: SessionServices, claimant: Claimant): Promise<Expected> {
  const { kind, user } = claimant;
  if (kind === 'unknown') {
    // The same salt for the same words on every proxy: nothing to tell it from a real user by.
    const tenant = claimant.claimed ?? '';
    return { verifier: mock(services, tenant, user), failure: claimant.reason };
  }
  const { tenant } = claimant;
  const failure = user === tenant.username ? 'wrong_password' : 'unknown_user';
  const standIn = mock(services, tenant.id, user);
  if (failure === 'unknown_user') return { verifier: standIn, failure };
  try {
    const salt = saltOf(services, tenant.id, user);
    return { verifier: await services.credentials.of(tenant).verifier(salt), failure };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    services.log.error({ tenant: tenant.id, reason: error.message }, 'a password cannot be opened');
    return { verifier: standIn, failure: 'secret_unavailable' };
  }
}

function mock(services: SessionServices, tenant: string, user: string): ScramVerifier {
  const salt = saltOf(services, tenant, user);
  const fleetSecret = services.mockSecret();
  const verifier = mockVerifier({ fleetSecret, tenant, user, iterations: SCRAM_ITERATIONS });
  return { ...verifier, salt };
}

const SALT_BYTES = 16;

/** Real users and those that do not exist get their salts in the same way. */
function saltOf(services: SessionServices, tenant: string, user: string): Buffer {
  const text = `salt\0${tenant.toLowerCase()}\0${user}`;
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
