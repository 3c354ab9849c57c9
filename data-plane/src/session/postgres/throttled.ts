/**
 * A login under the throttle: made to wait where too many have failed, and counted when it fails
 * itself.
 * Owns: which failures are a guess that went wrong. Leaves: how long to wait to access/.
 */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Attempt } from '../../access/attempt-throttle.ts';
import type { ProxyErrorCode } from '../../errors.ts';
import type { SessionServices } from './services.ts';

const GUESSES: ReadonlySet<string> = new Set<ProxyErrorCode>([
  'AUTH_FAILED',
  'ACCESS_REFUSED',
  'CERTIFICATE_REFUSED',
]);

/** @throws AppError LOGIN_THROTTLED, and what `prove` throws */
export async function throttled<Proven>(
  attempt: Attempt,
  { throttle, meter }: Pick<SessionServices, 'throttle' | 'meter'>,
  prove: () => Promise<Proven>,
): Promise<Proven> {
  const verdict = throttle.judge(attempt);
  if (verdict !== undefined) {
    meter.loginDelayed(verdict.reason);
    await throttle.hold(attempt, verdict).catch((error: unknown) => {
      meter.authFailed('throttled');
      throw error;
    });
  }
  try {
    const proven = await prove();
    throttle.succeeded(attempt);
    return proven;
  } catch (error) {
    if (error instanceof AppError && GUESSES.has(error.code)) throttle.failed(attempt);
    throw error;
  }
}
