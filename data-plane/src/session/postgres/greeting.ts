/**
 * What a client reads once it is authenticated: its parameters, its cancel key, ReadyForQuery.
 * Owns: that the parameters are the server's own words under this client's vector; a server
 * connection is taken once where they are not known yet. Leaves: what all clients under one vector
 * read alike to welcome.ts, leases of a transaction to transaction.ts.
 */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { AccessRequest } from '../../access/access-rules.ts';
import { proxyErrors } from '../../errors.ts';
import type { Resolution } from '../../routing/resolve-tenant.ts';
import { applyVector } from '../../upstream/apply-vector.ts';
import { ServerError } from '../../upstream/conversation.ts';
import { withParameter } from '../../upstream/parameter-vector.ts';
import type { ParameterVector } from '../../upstream/parameter-vector.ts';
import {
  encodeBackendKeyData,
  encodeParameterStatus,
  encodeReadyForQuery,
  TRANSACTION_IDLE,
} from '../../wire/postgres/backend-messages.ts';
import type { Account } from './auth/account.ts';
import { cancelName } from './cancel.ts';
import { leaseWhereverItIs } from './lease-once.ts';
import { LoggedIn, seatOf } from './logged-in.ts';
import { targetNow } from './place.ts';
import type { Admission } from '../client-limits.ts';
import type { LoginReader } from './login-reader.ts';
import type { SessionServices, Target } from './services.ts';
import type { Asked } from './startup.ts';
import { welcomeUnder, withoutDefaults } from './welcome.ts';

const readyIdle = encodeReadyForQuery(TRANSACTION_IDLE);

export type ResolvedTenant = Extract<Resolution, { kind: 'tenant' }>;

/** Who the client has proved to be, and from where it may come as that. */
export interface ProvedClient {
  readonly account: Account;
  readonly access: AccessRequest;
  readonly admission: Admission;
}

/** Greets an authenticated client. @throws AppError why the tenant's database cannot be used */
export async function greet(
  reader: LoginReader,
  services: SessionServices,
  asked: Asked,
  resolved: ResolvedTenant,
  { account, access, admission }: ProvedClient,
): Promise<LoggedIn> {
  const { tenant, database, pool: settings } = resolved;
  const meter = services.meter.tenant(tenant.id, tenant.protocol);
  if (database === undefined) {
    meter.authFailed('database_not_listed');
    throw databaseNotListed(resolved);
  }
  const seat = seatOf(account, {
    tenant: tenant.id,
    user: resolved.user,
    database,
    databaseIs: database === tenant.database ? 'own' : 'listed',
    settings,
  });
  const target = services.targets.of(account, database);
  const known = target.upstream.parameters;
  const all = settings.applicationName === 'exact' ? withName(asked) : asked.vector;
  const vector = known === undefined ? all : withoutDefaults(all, known);
  const told = target.upstream.reportedUnder(vector.key);
  const { reported, needed } =
    told === undefined
      ? await askForParameters(vector, () => orThrow(targetNow(services, seat))).catch((error) => {
          meter.errorAnswered('proxy');
          throw error;
        })
      : { reported: told, needed: vector };
  const cancelKey = services.cancels.newKey(asked.cancelKeys);
  const welcome = welcomeUnder(reported, needed);
  reader.say(
    welcome.messages,
    encodeParameterStatus('application_name', asked.applicationName),
    encodeBackendKeyData(cancelKey),
    readyIdle,
  );
  return new LoggedIn(seat, {
    address: access.address,
    encryption: access.encryption,
    admission,
    vector: welcome.vector,
    reported: welcome.reported,
    processId: cancelKey.processId,
    cancelName: cancelName(cancelKey),
    catalogue: services.targets.catalogue(account, database),
    meter,
  });
}

function withName({ vector, applicationName }: Asked): ParameterVector {
  const bytes = Buffer.from(applicationName).toString('latin1');
  return withParameter(vector, 'application_name', bytes);
}

interface Parameters {
  readonly reported: ReadonlyMap<string, string>;
  /** The part of the vector that really has to be set. */
  readonly needed: ParameterVector;
}

/** Of a server connection, which is told to apply `vector`. */
async function askForParameters(
  vector: ParameterVector,
  targetNow: () => Target,
): Promise<Parameters> {
  const { target, backend } = await leaseWhereverItIs(targetNow);
  const needed = withoutDefaults(vector, target.upstream.parameters ?? backend.parameters);
  try {
    await applyVector(backend, needed);
  } catch (error) {
    target.pool.discard(backend, 'reset_failed');
    if (error instanceof ServerError) throw refused(error);
    throw proxyErrors.fail('UPSTREAM_LOST', 'the server connection ended during the login');
  }
  target.upstream.remember(backend);
  const parameters = new Map(backend.parameters);
  target.pool.release(backend, 'clean');
  return { reported: parameters, needed };
}

function orThrow(target: Target | AppError): Target {
  if (target instanceof AppError) throw target;
  return target;
}

function refused({ fields }: ServerError): AppError {
  return proxyErrors.fail('PARAMETER_REFUSED', fields.message, {
    ...(fields.detail === undefined ? {} : { detail: fields.detail }),
    ...(fields.hint === undefined ? {} : { hint: fields.hint }),
    context: { sqlState: fields.code },
  });
}

function databaseNotListed({ tenant, requestedDatabase }: ResolvedTenant): AppError {
  return proxyErrors.fail(
    'DATABASE_NOT_LISTED',
    `database "${requestedDatabase}" is not one of tenant "${tenant.id}"`,
    { hint: 'Leave the database name out, or add it to the "databases" of the tenant.' },
  );
}
