/**
 * Which events make one delta: those of one request belong together, since proxies are to swap once
 * for what an operator did at once. A request that is too large for a delta is divided after all.
 */
import type { StoredEvent } from '../store/event.ts';

/** As many of `events`, which may go on behind them, as end with a request, and `max` at most. */
export function wholeRequests(events: readonly StoredEvent[], max: number): readonly StoredEvent[] {
  if (events.length <= max) return events;
  return events.slice(0, endBefore(events, max) ?? max);
}

/** About half of at least two events, up to the end of a request where that leaves fewer. */
export function firstHalf(events: readonly StoredEvent[]): readonly StoredEvent[] {
  const half = Math.ceil(events.length / 2);
  return events.slice(0, endBefore(events, half) ?? endAfter(events, half) ?? half);
}

function endBefore(events: readonly StoredEvent[], most: number): number | undefined {
  for (let count = most; count > 0; count--) if (endsAt(events, count)) return count;
  return undefined;
}

function endAfter(events: readonly StoredEvent[], least: number): number | undefined {
  for (let count = least; count < events.length; count++) if (endsAt(events, count)) return count;
  return undefined;
}

/** Whether a request ends with the first `count` events, seen from the one after them. */
function endsAt(events: readonly StoredEvent[], count: number): boolean {
  return events[count - 1]?.requestId !== events[count]?.requestId;
}
