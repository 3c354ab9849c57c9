/** Trying again and again, with longer pauses, for as long as clients may be left without. */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { LISTENER_ABSENCE_MAX_MS, REDIAL_PAUSE_MAX_MS, REDIAL_PAUSE_MIN_MS } from './limits.ts';

/** @returns `restored` once `attempt` succeeds, or its last error when the time is over. */
export async function untilRestored(
  clock: Clock,
  attempt: () => Promise<void>,
): Promise<'restored' | Error> {
  const endMs = clock.nowMs() + LISTENER_ABSENCE_MAX_MS;
  for (let pauseMs = REDIAL_PAUSE_MIN_MS; ; pauseMs = Math.min(pauseMs * 2, REDIAL_PAUSE_MAX_MS)) {
    try {
      await attempt();
      return 'restored';
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      if (clock.nowMs() + pauseMs >= endMs) return failure;
    }
    await new Promise<void>((resolve) => {
      clock.after(pauseMs, resolve);
    });
  }
}
