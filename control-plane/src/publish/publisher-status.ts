/** How far a publisher is, for health checks and people. */
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';

/**
 * `recovering`: looks where the bus is. `tailing`: follows the log. `waiting_for_bus`: tries again
 * soon. `off`: not wanted. `stopped`: closed, or the bus holds another history than this log and an
 * operator must act (see `problem`).
 */
export type PublisherPhase = 'recovering' | 'tailing' | 'waiting_for_bus' | 'stopped' | 'off';

export interface PublisherStatus {
  readonly phase: PublisherPhase;
  /** The last event known to be on the bus. */
  readonly position: Position;
  readonly problem?: string;
}
