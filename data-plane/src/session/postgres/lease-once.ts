/** A server connection for the proxy's own use, got in line like any client's. */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { proxyErrors } from '../../errors.ts';
import type { Pool, Waiter } from '../../pool/pool.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import type { Target } from './services.ts';

/**
 * Takes a backend, waiting as any client does. @throws AppError why there is none
 * @param moved what is thrown when the tenant has another pool by now
 */
export function leaseOnce(
  pool: Pool<PostgresBackend>,
  moved: () => Error = configChanged,
): Promise<PostgresBackend> {
  const backend = pool.take();
  if (backend !== undefined) return Promise.resolve(backend);
  return new Promise((resolve, reject) => {
    pool.wait({ granted: resolve, refused: reject, moved: () => reject(moved()) });
  });
}

/**
 * The same for what can do without: it leaves the line after `limitMs`.
 * @param place `first`: before all who are in line, for what will serve many of them
 * @throws AppError why there is none; Error when it has waited for so long
 */
export function leaseSoon(
  pool: Pool<PostgresBackend>,
  clock: Clock,
  limitMs: number,
  place: 'first' | 'last',
): Promise<PostgresBackend> {
  const backend = pool.take();
  if (backend !== undefined) return Promise.resolve(backend);
  return new Promise((resolve, reject) => {
    const timer = clock.after(limitMs, () => {
      pool.cancelWait(waiter);
      reject(new Error(`none became free within ${limitMs} ms`));
    });
    const over = (then: () => void) => {
      timer.cancel();
      then();
    };
    const waiter: Waiter<PostgresBackend> = {
      granted: (granted) => over(() => resolve(granted)),
      refused: (error) => over(() => reject(error)),
      moved: () => over(() => reject(configChanged())),
    };
    const { longestSinceMs } = pool.condition;
    const isFirst = place === 'first' && longestSinceMs !== undefined;
    pool.wait(waiter, isFirst ? longestSinceMs - BEFORE_MS : undefined);
  });
}

/** Who has waited for longer by so much stands before another. */
const BEFORE_MS = 0.001;

/**
 * Takes a backend of the target that there is, and of the next one where that is drained meanwhile.
 * @throws AppError why there is none; what `targetNow` throws
 */
export async function leaseWhereverItIs(
  targetNow: () => Target,
): Promise<{ readonly target: Target; readonly backend: PostgresBackend }> {
  let sinceMs: number | undefined;
  for (;;) {
    const target = targetNow();
    const backend = target.pool.take() ?? (await inLine(target.pool, sinceMs));
    if (typeof backend !== 'number') return { target, backend };
    sinceMs = backend;
  }
}

/** @returns since when it has waited, when it is to wait for another pool */
function inLine(
  pool: Pool<PostgresBackend>,
  sinceMs: number | undefined,
): Promise<PostgresBackend | number> {
  return new Promise((granted, refused) => {
    pool.wait({ granted, refused, moved: granted }, sinceMs);
  });
}

function configChanged(): AppError {
  const message = 'the configuration of the tenant changed meanwhile';
  return proxyErrors.fail('UPSTREAM_LOST', message, { hint: 'Connect again.' });
}

/** Runs `work` on a backend that it leaves as it was; after a failure the backend is closed. */
export async function withBackend<T>(
  pool: Pool<PostgresBackend>,
  work: (backend: PostgresBackend) => Promise<T>,
): Promise<T> {
  const backend = await leaseOnce(pool);
  try {
    const result = await work(backend);
    pool.release(backend, 'clean');
    return result;
  } catch (error) {
    pool.discard(backend, 'suspect_state');
    throw error;
  }
}
