/**
 * Declared servers as of any position, and what differs between two: the part of history.ts that is
 * about them. There are few, and each has few events.
 */
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { toServerFields } from '@dbbouncer/shared/contract/server-resource.ts';
import { SERVER_STREAM_PREFIX, serverKeyOfStream, serverStream } from '../domain/server/events.ts';
import { evolveServerView } from '../projections/server-views.ts';
import type { EventReader } from '../store/event-store.ts';
import type { ServerReader, ServerView } from '../store/servers.ts';
import { changesBetween } from './tenant-diff.ts';
import type { FieldChange } from './tenant-diff.ts';
import { Pace } from './pace.ts';

export type ServerSource = Pick<EventReader, 'readStream' | 'nextStream'> & {
  readonly servers: ServerReader;
};

/** A server that is not the same at two positions. */
export interface ServerDifference {
  readonly before: ServerView | undefined;
  readonly after: ServerView | undefined;
  readonly changes: readonly FieldChange[];
}

/** Ordered by lower-case name. */
export async function serversAt(
  store: ServerSource,
  position: Position,
): Promise<readonly ServerView[]> {
  const pace = new Pace();
  const views: ServerView[] = [];
  for (const key of keysOf(store)) {
    const view = serverAt(store, key, position);
    if (view !== undefined) views.push(view);
    await pace.after(1);
  }
  return views;
}

/** Of those servers whose streams are `keys`, the ones that differ, ordered by name. */
export function serverDifferences(
  store: ServerSource,
  keys: readonly string[],
  from: Position,
  to: Position,
): readonly ServerDifference[] {
  return keys.toSorted().flatMap((key) => {
    const before = serverAt(store, key, from);
    const after = serverAt(store, key, to);
    const changes = changesBetween(fieldsOf(before), fieldsOf(after));
    return changes.length === 0 ? [] : [{ before, after, changes }];
  });
}

/** The keys of all servers there ever were. */
function* keysOf(store: ServerSource): Iterable<string> {
  let stream = store.nextStream(SERVER_STREAM_PREFIX);
  while (stream !== undefined) {
    const key = serverKeyOfStream(stream);
    if (key === undefined) return;
    yield key;
    stream = store.nextStream(stream);
  }
}

function serverAt(store: ServerSource, key: string, position: Position): ServerView | undefined {
  const live = store.servers.get(key);
  // Unchanged since then: what is kept is what a fold would give.
  if (live !== undefined && live.position <= position) return live;
  let view: ServerView | undefined;
  for (const event of store.readStream(serverStream(key))) {
    if (event.position > position) break;
    view = evolveServerView(view, event);
  }
  return view;
}

function fieldsOf(view: ServerView | undefined): ReadonlyMap<string, string | number> {
  if (view === undefined) return new Map();
  return new Map(Object.entries({ ...toServerFields(view.server), origin: view.origin }));
}
