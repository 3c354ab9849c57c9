/** Where a log ends for who appends to it. */
import type { LogMessage, LogState } from '@dbbouncer/shared/bus/bus.ts';

/**
 * The sequence to append behind. Foreign messages may lie behind the last one, and one of ours may
 * have come since the state was read.
 */
export function endOf({ lastSequence }: LogState, last: LogMessage | undefined): number {
  return Math.max(lastSequence, last?.sequence ?? 0);
}
