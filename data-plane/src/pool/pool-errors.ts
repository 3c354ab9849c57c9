/**
 * What a client reads when its pool cannot serve it: which tenant, which limit, what to do.
 */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { proxyErrors } from '../errors.ts';
import type { PoolCore } from './pool-core.ts';
import type { SlotCap } from './slot-cap.ts';

export function acquireTimeout(
  tenant: string,
  pool: PoolCore<unknown, unknown>,
  cap: SlotCap,
): AppError {
  const { acquireTimeoutMs } = pool.settings;
  const isFull = cap.room === 0;
  const dialError = pool.backoff.error;
  return proxyErrors.fail(
    'POOL_ACQUIRE_TIMEOUT',
    `tenant "${tenant}": no server connection became free within acquire_timeout ` +
      `(${acquireTimeoutMs} ms); ${isFull ? allInUse(pool, cap) : someInUse(pool, cap)}`,
    {
      ...(dialError && { detail: `The last attempt to connect failed: ${dialError.message}` }),
      hint: isFull
        ? 'Shorten transactions, or raise max_connections or acquire_timeout of the tenant.'
        : 'Look at the database server: it accepts connections slowly or refuses them.',
      ...(dialError && { cause: dialError }),
    },
  );
}

export function pausedTooLong(tenant: string, pool: PoolCore<unknown, unknown>): AppError {
  const { pauseWaitTimeoutMs } = pool.settings;
  return proxyErrors.fail(
    'TENANT_PAUSED',
    `tenant "${tenant}" is paused, and was not resumed within pause_wait_timeout ` +
      `(${pauseWaitTimeoutMs} ms)`,
    { hint: 'Nothing was sent to the database: try again once the operator has resumed it.' },
  );
}

export function queueFull(tenant: string, waiting: number, waitersMax: number): AppError {
  return proxyErrors.fail(
    'POOL_QUEUE_FULL',
    `tenant "${tenant}": ${waiting} clients are in line for a server connection, ` +
      `and ${waitersMax} are the most that may be`,
    { hint: 'Shorten transactions, raise max_connections of the tenant, or open fewer clients.' },
  );
}

export function shuttingDown(): AppError {
  return proxyErrors.fail('SHUTTING_DOWN', 'the proxy is shutting down', {
    hint: 'Connect again: another proxy, or this one once it is back.',
  });
}

/**
 * Why a dial failed. With something else than an AppError it is a defect of ours, told to the
 * client without its text.
 */
export function dialError(
  tenant: string,
  cause: { readonly error: unknown } | 'closed_after_login',
  log: Logger,
): AppError {
  if (cause === 'closed_after_login') return closedAfterLogin(tenant);
  if (cause.error instanceof AppError) return cause.error;
  log.error({ error: cause.error }, 'a dial failed in an unexpected way');
  return unexpectedDialFailure(tenant, cause.error);
}

function unexpectedDialFailure(tenant: string, cause: unknown): AppError {
  return proxyErrors.fail(
    'UPSTREAM_UNREACHABLE',
    `tenant "${tenant}": connecting to the database server failed unexpectedly`,
    { hint: "The proxy's log has the reason.", cause },
  );
}

function closedAfterLogin(tenant: string): AppError {
  return proxyErrors.fail(
    'UPSTREAM_UNREACHABLE',
    `tenant "${tenant}": the database server closed the connection right after the login`,
  );
}

function allInUse(pool: PoolCore<unknown, unknown>, cap: SlotCap): string {
  const elsewhere = cap.occupied - pool.occupied;
  const text = `all ${cap.limit} of ${cap.settingName} are in use`;
  return elsewhere > 0
    ? `${text}, ${elsewhere} of them for other databases or users of the tenant`
    : text;
}

function someInUse(pool: PoolCore<unknown, unknown>, cap: SlotCap): string {
  const connecting = `${pool.dialing.size} of them still connecting`;
  return `${cap.occupied} of ${cap.settingName} (${cap.limit}) are in use, ${connecting}`;
}
