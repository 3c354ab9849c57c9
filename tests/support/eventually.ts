/**
 * Waits for what another process does and tells nobody: asks again and again, with a deadline.
 */
import { setTimeout as pause } from 'node:timers/promises';

export interface EventuallyOptions {
  /** Default: 10,000. */
  readonly withinMs?: number;
  /** More words for the error. */
  readonly onFailure?: () => string;
}

const INTERVAL_MS = 20;
const WITHIN_MS = 10_000;

/**
 * What `probe` returns as soon as that is neither `undefined` nor `false`.
 * @throws Error naming `what` after `withinMs`; what `probe` throws, at once.
 */
export async function eventually<Value>(
  what: string,
  probe: () => Promise<Value | undefined | false> | Value | undefined | false,
  { withinMs = WITHIN_MS, onFailure }: EventuallyOptions = {},
): Promise<Value> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) {
      throw new Error(`not within ${withinMs} ms: ${what}\n${onFailure?.() ?? ''}`.trimEnd());
    }
    await pause(INTERVAL_MS);
  }
}
