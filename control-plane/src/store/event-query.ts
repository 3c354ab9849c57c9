/**
 * What can be asked of the event log, and which event answers it.
 * Leaves: finding them without reading the rest to each store.
 */
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { StoredEvent } from './event.ts';

/** All of it must hold; what is absent holds for every event. */
export interface EventFilter {
  readonly stream?: string | undefined;
  /** Any of these; none of them when the list is empty. */
  readonly types?: readonly string[] | undefined;
  readonly actor?: string | undefined;
  readonly requestId?: string | undefined;
  /** The time of the event or later, as `StoredEvent.occurredAt` has it. */
  readonly since?: string | undefined;
  /** Before this time. */
  readonly until?: string | undefined;
}

export interface EventSearch extends EventFilter {
  /** `asc`: oldest first. */
  readonly order: 'asc' | 'desc';
  /** Only higher positions. */
  readonly after: Position;
  /** Only lower positions. */
  readonly before: Position;
  readonly limit: number;
}

/** What a search found on the stretch of the log that it looked at. */
export interface EventStretch {
  /** In the order asked for. */
  readonly events: readonly StoredEvent[];
  /**
   * The last position looked at, in that order. The search is over when nothing lies beyond; else
   * it goes on from here.
   */
  readonly reached: Position;
}

/**
 * Positions one search looks at: what the slowest filter costs is a few milliseconds then, and who
 * goes on lets the process do other work in between.
 */
export const STRETCH_POSITIONS_MAX = 20_000;

/** The stretch one search looks at, both ends outside. */
export function stretchOf(search: Pick<EventSearch, 'order' | 'after' | 'before'>): {
  readonly after: Position;
  readonly before: Position;
} {
  const { order, after, before } = search;
  return order === 'asc'
    ? { after, before: Math.min(before, after + STRETCH_POSITIONS_MAX + 1) }
    : { after: Math.max(after, before - STRETCH_POSITIONS_MAX - 1), before };
}

/** @param events found on that stretch, at most `search.limit`. */
export function stretchWith(search: EventSearch, events: readonly StoredEvent[]): EventStretch {
  const last = events.at(-1);
  if (last !== undefined && events.length >= search.limit)
    return { events, reached: last.position };
  const { after, before } = stretchOf(search);
  return { events, reached: search.order === 'asc' ? before - 1 : after + 1 };
}

export function matches(event: StoredEvent, filter: EventFilter): boolean {
  const { stream, types, actor, requestId, since, until } = filter;
  return (
    (stream === undefined || event.stream === stream) &&
    (types === undefined || types.includes(event.type)) &&
    (actor === undefined || event.actor === actor) &&
    (requestId === undefined || event.requestId === requestId) &&
    (since === undefined || event.occurredAt >= since) &&
    (until === undefined || event.occurredAt < until)
  );
}
