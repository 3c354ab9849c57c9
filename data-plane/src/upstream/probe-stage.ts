/**
 * How far an attempt to connect came, by the error in which it ended.
 * Owns: that conclusion, the form of a finding. Leaves: the attempt to probe-postgres.ts.
 */
import { PROBE_LIMITS } from '@dbbouncer/shared/contract/server-probe.ts';
import type { ProbeFinding, ProbeStage } from '@dbbouncer/shared/contract/server-probe.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { DialStep } from './dial-errors.ts';

/** The password, the role, or no line of pg_hba.conf for them. */
const NOT_LET_IN = /^28/;
/** No such database, or no right to connect to it. */
const NOT_THIS_DATABASE: ReadonlySet<unknown> = new Set(['3D000', '42501', '55000']);

/** @throws what is no expected failure of a dial */
export function failureOf(error: unknown, tookMs: number): ProbeFinding {
  if (!(error instanceof AppError)) throw error;
  const { message, hint, context } = error;
  const sqlState = context['sqlState'];
  return {
    outcome: 'failed',
    stage: stageOf(error),
    message: clipped(message),
    ...(hint !== undefined && { hint: clipped(hint) }),
    ...(typeof sqlState === 'string' && { sqlState }),
    tookMs,
  };
}

function stageOf({ code, context, cause }: AppError): ProbeStage {
  switch (code) {
    case 'SECRET_UNAVAILABLE':
      return 'secret';
    case 'UPSTREAM_TLS_FAILED':
      return 'tls';
    case 'CLEARTEXT_REFUSED':
    case 'CREDENTIAL_UNFIT':
      return 'auth';
    case 'UPSTREAM_REFUSED':
      return refusedAt(context);
    default:
      return context['stage'] === 'connect' && isOfName(cause)
        ? 'dns'
        : STAGES[context['stage'] as DialStep];
  }
}

/** What is asked of a server that has let us in is its answer, too. */
const STAGES: Readonly<Record<DialStep, ProbeStage>> = Object.freeze({
  connect: 'tcp',
  tls: 'tls',
  startup: 'startup',
  authentication: 'auth',
  init_sql: 'init_sql',
  limits: 'startup',
});

function refusedAt({ stage, sqlState }: Readonly<Record<string, unknown>>): ProbeStage {
  if (stage === 'init_sql') return 'init_sql';
  if (typeof sqlState === 'string' && NOT_LET_IN.test(sqlState)) return 'auth';
  return NOT_THIS_DATABASE.has(sqlState) ? 'database' : 'startup';
}

function isOfName(cause: unknown): boolean {
  return (cause as { readonly syscall?: unknown } | undefined)?.syscall === 'getaddrinfo';
}

function clipped(text: string): string {
  return text.slice(0, PROBE_LIMITS.textCharsMax);
}
