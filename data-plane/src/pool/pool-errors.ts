/**
 * What a client reads when its pool cannot serve it: which tenant, which limit, what to do.
 */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { proxyErrors } from '../errors.ts';
import type { DialFailure } from './dialer.ts';
import type { SlotCap } from './slot-cap.ts';
import { waitText, whyWaiting } from './wait-reason.ts';
import type { WaitBooks } from './wait-reason.ts';

export function acquireTimeout(tenant: string, pool: WaitBooks, cap: SlotCap): AppError {
  const { acquireTimeoutMs } = pool.settings;
  const dialError = pool.backoff.error;
  const reason = whyWaiting(pool, cap);
  const failed = dialError && `; the last attempt to connect failed: ${dialError.message}`;
  return proxyErrors.fail(
    'POOL_ACQUIRE_TIMEOUT',
    `tenant "${tenant}": no server connection became free within acquire_timeout ` +
      `(${acquireTimeoutMs} ms); ${waitText(reason, pool, cap)}`,
    {
      detail: `reason: ${reason}${failed ?? ''}`,
      hint:
        cap.room > 0
          ? 'Look at the database server: it accepts connections slowly or refuses them.'
          : (cap.shortage?.hint ??
            'Shorten transactions, or raise max_connections or acquire_timeout of the tenant.'),
      ...(dialError && { cause: dialError }),
    },
  );
}

export function pausedTooLong(tenant: string, pool: WaitBooks): AppError {
  const { pauseWaitTimeoutMs } = pool.settings;
  return proxyErrors.fail(
    'TENANT_PAUSED',
    `tenant "${tenant}" is paused, and was not resumed within pause_wait_timeout ` +
      `(${pauseWaitTimeoutMs} ms)`,
    {
      detail: 'reason: paused',
      hint: 'Nothing was sent to the database: try again once the operator has resumed it.',
    },
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
  cause: Exclude<DialFailure, 'given_up'>,
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

/** What the server said last, for a client that comes while the proxy does not ask it again. */
export function notAskedAgain(failure: AppError, pauseMs: number, retryMs: number): AppError {
  const again =
    `the proxy asks the server again in ${Math.ceil(pauseMs)} ms` +
    ` (server_login_retry: ${retryMs} ms at most)`;
  const { code, kind, retryable, message, detail, hint, context } = failure;
  return new AppError(code, { kind, retryable, summary: '' }, message, {
    detail: detail === undefined ? again : `${detail}; ${again}`,
    ...(hint !== undefined && { hint }),
    context,
    cause: failure,
  });
}
