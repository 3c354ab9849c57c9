/**
 * What is known about the feed, for readiness, reports and metrics.
 */
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Rejection } from './judge.ts';

/**
 * - `booting`: no config yet
 * - `following`: changes arrive as they are published
 * - `cut_off`: serves the last good config; the bus cannot be reached
 */
export type FeedPhase = 'booting' | 'following' | 'cut_off';

export interface FeedStatus {
  readonly phase: FeedPhase;
  readonly epoch: number;
  readonly appliedPosition: Position;
  /** Where the config that is served came from. */
  readonly source: 'bus' | 'disk' | 'none';
  /** The last delta or snapshot that was not applied; forgotten when the config leads past it. */
  readonly rejected: Rejection | undefined;
  /** How many were not applied since the start; one that is sent again at once counts once. */
  readonly rejectedTotal: number;
}

/** The record of refusals: the last one as long as it matters, and how many there were. */
export class Rejections {
  #last: Rejection | undefined;
  #total = 0;

  get last(): Rejection | undefined {
    return this.#last;
  }

  get total(): number {
    return this.#total;
  }

  /** Says whether it is news: the same one comes again on every new attempt. */
  add(rejection: Rejection): 'new' | 'repeated' {
    const last = this.#last;
    if (last?.position === rejection.position && last.reason === rejection.reason) {
      return 'repeated';
    }
    this.#last = rejection;
    this.#total += 1;
    return 'new';
  }

  /** A config at `position` is served: what was refused up to there is history. */
  settle(position: Position): void {
    if (this.#last !== undefined && position >= this.#last.position) this.#last = undefined;
  }
}
