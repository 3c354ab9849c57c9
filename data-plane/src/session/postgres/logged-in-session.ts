/**
 * What a session is known by from its login to its end, whatever it does in between.
 * Leaves: what it does to transaction.ts.
 */
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { AppError, ErrorKind } from '@dbbouncer/shared/kernel/errors.ts';
import type { AccessRequest } from '../../access/access-rules.ts';
import { encodePostgresError } from '../client-error.ts';
import type { ClientFacts, Session } from '../session.ts';
import type { LoggedIn, SessionServices } from './services.ts';
import { userRemoved } from './session-errors.ts';

/** Neither what the client has done wrong, nor what an operator has wanted. */
const TROUBLE: ReadonlySet<ErrorKind> = new Set(['config', 'capacity', 'upstream', 'internal']);

export abstract class LoggedInSession {
  readonly login: LoggedIn;
  /** Set when it is to end as soon as it is between transactions. */
  protected ending: AppError | undefined;

  /** Among the clients of the process. */
  readonly #number: number;
  readonly #sinceMs: number;

  constructor(login: LoggedIn, { registry, clock }: SessionServices) {
    this.login = login;
    this.#number = registry.newNumber();
    this.#sinceMs = clock.nowMs();
  }

  /** Made when it is asked for: most clients are never looked at. */
  get client(): ClientFacts {
    const { tenant, user, database, access, pooling } = this.login;
    const [number, sinceMs] = [this.#number, this.#sinceMs];
    return { number, tenant, user, database, access, pooling, sinceMs };
  }

  get tenantKey(): string {
    return this.login.tenantKey;
  }

  /** Why it may not go on under this config of its tenant. */
  hindranceUnder(tenant: TenantConfig): AppError | undefined {
    const { member, user } = this.login;
    return member.accountIn(tenant) === undefined ? userRemoved(tenant.id, user) : undefined;
  }

  get access(): AccessRequest {
    return this.login.access;
  }

  get pooling(): PoolMode {
    return this.login.pooling;
  }

  /** Whether it is not between two transactions. */
  protected abstract readonly isBusy: boolean;
  abstract kill(error: AppError): void;

  /** Ends it with `error`, as soon as it is between transactions. */
  endWhenIdle(error: AppError): void {
    if (this.isBusy) this.ending = error;
    else this.kill(error);
  }

  /** What it was to end for with this code is no more. */
  stay(code: AppError['code']): void {
    if (this.ending?.code === code) this.ending = undefined;
  }

  /** For the client, and counted where it tells of trouble. */
  protected worded(error: AppError, severity: 'ERROR' | 'FATAL'): Buffer {
    if (TROUBLE.has(error.kind)) this.login.meter.errorAnswered('proxy');
    return encodePostgresError(error, severity);
  }

  /** It is counted no more, and nobody finds it. */
  protected leaves(this: LoggedInSession & Session, services: SessionServices): void {
    services.registry.delete(this);
    this.login.admission.release();
    services.cancels.forget(this.login.cancelName);
  }

  /** The server process that the client takes for its own. */
  get processId(): number {
    return this.login.processId;
  }
}
