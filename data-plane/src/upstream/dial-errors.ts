/**
 * What is told when a server connection cannot be opened: the database's own words where it has
 * said any, and what to do.
 */
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { proxyErrors } from '../errors.ts';
import type { ErrorFields } from '../wire/postgres/backend-messages.ts';
import type { UnfitCredential } from './credential.ts';
import type { TlsFailure } from './tls-failure.ts';

/** Whose connection it was to be. */
export interface Dialled {
  readonly tenant: TenantConfig;
  /** On the server. */
  readonly user: string;
}

/** What a dial is in the middle of; `startup` until the server asks for a proof. */
export type DialStep = 'connect' | 'tls' | 'startup' | 'authentication' | 'init_sql' | 'limits';

/** pg_hba.conf has no line for this kind of connection. */
const NOT_AUTHORIZED = '28000';

export function refusedInit({ tenant }: Dialled, fields: ErrorFields): AppError {
  return proxyErrors.fail('UPSTREAM_REFUSED', fields.message, {
    detail: `the init_sql of tenant "${tenant.id}" failed on ${tenant.host}:${tenant.port}`,
    hint: fields.hint ?? 'Correct the init_sql of the tenant.',
    context: { sqlState: fields.code, stage: 'init_sql' },
  });
}

/**
 * The database's own words, so that nobody has to look into its log.
 * @param stage how far the login had come.
 */
export function refusedLogin({ tenant }: Dialled, fields: ErrorFields, stage: DialStep): AppError {
  const where = `${tenant.host}:${tenant.port}`;
  return proxyErrors.fail('UPSTREAM_REFUSED', fields.message, {
    detail: `the database server ${where} of tenant "${tenant.id}" refused the proxy's login`,
    ...(fields.hint === undefined ? {} : { hint: fields.hint }),
    context: { sqlState: fields.code, stage },
  });
}

/**
 * Whether the dial may be tried again with TLS, or without: TLS did not come about, or the server
 * has no line for such connections. A login that fails later is never tried in clear: somebody
 * between us and the server may have made it fail.
 */
export function isRefusalOfTransport(error: unknown): boolean {
  if (!proxyErrors.is(error)) return false;
  const { code, context } = error;
  if (code === 'UPSTREAM_TLS_FAILED') return true;
  return context['stage'] === 'startup' && context['sqlState'] === NOT_AUTHORIZED;
}

export function tlsFailed(
  { tenant }: Dialled,
  { words, hint }: TlsFailure,
  cause: unknown,
): AppError {
  const message = `the database server of tenant "${tenant.id}" cannot be used: ${words}`;
  const detail = `host ${tenant.host}, port ${tenant.port}`;
  return proxyErrors.fail('UPSTREAM_TLS_FAILED', message, { detail, hint, cause });
}

export function tooLate(what: string, setting: string, limitMs: number): Error {
  return new Error(`${what} within ${setting} (${limitMs} ms)`);
}

/** How sure it is that nobody but the server hears what is said to it. */
export type Secrecy = 'clear' | 'encrypted' | 'verified';

export function cleartextRefused({ tenant }: Dialled, secrecy: Secrecy): AppError {
  const lacks =
    secrecy === 'clear'
      ? 'and the connection to it is not encrypted'
      : 'and its certificate was not verified, so that it may be anybody';
  const message = `the database server of tenant "${tenant.id}" asks for the password in clear,`;
  return proxyErrors.fail('CLEARTEXT_REFUSED', `${message} ${lacks}`, {
    detail: `host ${tenant.host}, port ${tenant.port}`,
    hint:
      'Use scram-sha-256 in its pg_hba.conf or server_tls with verify-full; or set' +
      ` server_cleartext of the tenant to "${secrecy === 'clear' ? 'anywhere' : 'over_tls'}".`,
  });
}

export function unfitCredential({ tenant, user }: Dialled, cause: UnfitCredential): AppError {
  return proxyErrors.fail(
    'CREDENTIAL_UNFIT',
    `the database server of tenant "${tenant.id}" cannot be logged in to as "${user}": ` +
      cause.message,
    {
      detail: `host ${tenant.host}, port ${tenant.port}`,
      hint:
        'Give the proxy the password of this user, or the verifier that the server itself has ' +
        '(rolpassword in pg_authid).',
      cause,
    },
  );
}

/** In whose words a dial ends that somebody has given up. */
export function givenUp({ reason }: AbortSignal): Error {
  const isOurs = reason instanceof Error && !(reason instanceof DOMException);
  return isOurs ? reason : new Error('the proxy gave up');
}

const HINTS: Readonly<Partial<Record<DialStep, string>>> = Object.freeze({
  init_sql: 'Look at the init_sql of the tenant: the server had let the proxy in.',
  authentication: 'The server was still to say whether the password is right: look at its log.',
});

/** @param stage what it was in the middle of */
export function unreachableServer({ tenant }: Dialled, cause: unknown, stage: DialStep): AppError {
  const words = cause instanceof Error ? cause.message : String(cause);
  return proxyErrors.fail(
    'UPSTREAM_UNREACHABLE',
    `the database server of tenant "${tenant.id}" cannot be used: ${words}`,
    {
      detail: `host ${tenant.host}, port ${tenant.port}`,
      hint:
        HINTS[stage] ??
        'Check that the server runs and that the host and port of the tenant are right.',
      context: { stage },
      cause,
    },
  );
}
