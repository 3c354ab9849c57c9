/**
 * Talks to the backend of a quiet lease in its client's place: gives back what a RESET took too
 * much of, and asks what the texts do not tell. The client's messages wait meanwhile.
 * Owns: that the backend is neither left nor used by two when the client goes in the middle.
 * Leaves: what to do and to ask to statement-watch.ts, the client's bytes to transaction.ts.
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Pool } from '../../../pool/pool.ts';
import { ServerError, simpleQuery } from '../../../upstream/conversation.ts';
import { settingSql } from '../../../upstream/parameter-vector.ts';
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import { TRANSACTION_FAILED, TRANSACTION_IDLE } from '../../../wire/postgres/message-types.ts';
import type { ExclusiveLease } from '../exclusive-lease.ts';
import type { Leases } from '../leases.ts';
import { serverEnded } from '../session-errors.ts';
import type { StatementWatch } from '../statement-watch.ts';
import { askSession } from './session-questions.ts';
import type { SessionQuestion } from './session-questions.ts';

/** Whose lease it is. */
export interface Settler {
  /** Done; the lease is the client's again. */
  settled(lease: ExclusiveLease): void;
  /** The backend was lost, and given up already. */
  settlingFailed(error: AppError): void;
}

export class Settling {
  readonly #leases: Leases;
  readonly #pool: Pool<PostgresBackend>;
  #settler: Settler | undefined;

  constructor(settler: Settler, leases: Leases, pool: Pool<PostgresBackend>) {
    this.#settler = settler;
    this.#leases = leases;
    this.#pool = pool;
  }

  /** Begins; the settler is told later, never from within this call. */
  run(lease: ExclusiveLease, work: (backend: PostgresBackend) => Promise<void>): void {
    void work(lease.backend).then(
      () => this.#done(lease),
      (error: unknown) => this.#lost(lease, error),
    );
  }

  /** The client is gone: the backend is cleaned once it has answered. */
  abandon(): void {
    this.#settler = undefined;
  }

  #done(lease: ExclusiveLease): void {
    if (this.#settler === undefined) return this.#leases.end(lease, this.#pool, 'dirty');
    lease.resume();
    this.#settler.settled(lease);
  }

  #lost(lease: ExclusiveLease, error: unknown): void {
    this.#pool.discard(lease.backend, 'server_gone');
    const cause = error instanceof Error ? error : undefined;
    this.#settler?.settlingFailed(serverEnded(cause));
  }
}

/**
 * What has to be said to a quiet backend before its client goes on; undefined for nothing: what the
 * lease has done so far holds then, between transactions.
 */
export function settlingWork(
  watch: StatementWatch,
  status: number,
): ((backend: PostgresBackend) => Promise<void>) | undefined {
  const { lost } = watch;
  const isBetween = status === TRANSACTION_IDLE;
  if (!lost.isEmpty) {
    // Of a RESET outside of a transaction block it may not be certain whether it happened.
    if (!(isBetween && watch.isDoubtful) && status !== TRANSACTION_FAILED) {
      return (backend) => restore(watch, backend);
    }
  }
  const question = isBetween ? watch.question : undefined;
  if (question !== undefined) return (backend) => ask(watch, question, backend);
  lost.clear();
  if (isBetween) watch.concludes();
  return undefined;
}

async function restore(watch: StatementWatch, backend: PostgresBackend): Promise<void> {
  for (const scope of ['session', 'local'] as const) {
    const sql = settingSql(watch.lost.entries(scope), scope);
    if (sql !== undefined) await simpleQuery(backend, sql);
  }
  watch.unnamedEnded();
  watch.restored();
}

async function ask(
  watch: StatementWatch,
  question: SessionQuestion,
  backend: PostgresBackend,
): Promise<void> {
  watch.unnamedEnded();
  try {
    watch.concludes(question, await askSession(backend, question));
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    watch.remainsUnknown();
  }
}
