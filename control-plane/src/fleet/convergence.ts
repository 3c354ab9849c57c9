/**
 * Whether the proxies serve what the log says: who lags by how much, since when and why. Pure: the
 * log is asked through `since`.
 */
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyView } from './fleet-state.ts';

export interface Convergence {
  /**
   * - `converged`: every live proxy serves the last event
   * - `converging`: some lag, and none has refused anything
   * - `stuck`: some lag that have refused what leads further
   * - `no_proxies`: none is live
   */
  readonly state: 'converged' | 'converging' | 'stuck' | 'no_proxies';
  readonly live: number;
  readonly lost: number;
  /** Live ones that serve the last event. */
  readonly reached: number;
  readonly proxies: readonly ProxyConvergence[];
}

export interface ProxyConvergence {
  readonly id: ProxyId;
  readonly status: ProxyView['status'];
  readonly epoch: number;
  readonly appliedPosition: Position;
  readonly behind: number;
  /** When the first event was written that it has not applied. */
  readonly behindSince: string | undefined;
  readonly report: ProxyView['report'];
}

export function convergenceOf(
  proxies: readonly ProxyView[],
  head: Position,
  /** When the event after a position was written; it is there. */
  since: (position: Position) => string | undefined,
): Convergence {
  const all = proxies.map(({ id, status, report }) => {
    const { epoch, appliedPosition } = report;
    const behind = Math.max(0, head - appliedPosition);
    const behindSince = behind === 0 ? undefined : since(appliedPosition);
    return { id, status, epoch, appliedPosition, behind, behindSince, report };
  });
  const live = all.filter(({ status }) => status === 'live');
  const reached = live.filter(({ behind }) => behind === 0);
  return {
    state: stateOf(live, reached),
    live: live.length,
    lost: all.length - live.length,
    reached: reached.length,
    proxies: all,
  };
}

function stateOf(
  live: readonly ProxyConvergence[],
  reached: readonly ProxyConvergence[],
): Convergence['state'] {
  if (live.length === 0) return 'no_proxies';
  if (reached.length === live.length) return 'converged';
  const isStuck = live.some(({ behind, report }) => behind > 0 && report.rejected !== undefined);
  return isStuck ? 'stuck' : 'converging';
}
