/**
 * What is known about the feed, for readiness, reports and metrics.
 */
import { REJECTIONS_MAX } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
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
  /** The last few, the newest first, whether the config leads past them or not. */
  readonly rejections: readonly PastRejection[];
  /** How many were not applied since the start; one that is sent again at once counts once. */
  readonly rejectedTotal: number;
}

/** A refusal that may be history. */
export interface PastRejection extends Rejection {
  readonly at: string;
}

/** The record of refusals: the last one as long as it matters, the last few, and how many. */
export class Rejections {
  readonly #clock: Pick<Clock, 'timestamp'>;
  #last: Rejection | undefined;
  #recent: readonly PastRejection[] = [];
  #total = 0;

  constructor(clock: Pick<Clock, 'timestamp'>) {
    this.#clock = clock;
  }

  /** The last REJECTIONS_MAX, the newest first. */
  get recent(): readonly PastRejection[] {
    return this.#recent;
  }

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
    const { position, reason } = rejection;
    const past = { position, reason, at: this.#clock.timestamp() };
    this.#recent = [past, ...this.#recent].slice(0, REJECTIONS_MAX);
    this.#last = rejection;
    this.#total += 1;
    return 'new';
  }

  /** A config at `position` is served: what was refused up to there is history. */
  settle(position: Position): void {
    if (this.#last !== undefined && position >= this.#last.position) this.#last = undefined;
  }
}
