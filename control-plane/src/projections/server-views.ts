/** The inline projection of declared servers: a part of tenant-views.ts, which calls it. */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { decodeEvent, isServerEvent } from '../domain/domain-event.ts';
import { evolveServer } from '../domain/server/decide.ts';
import type { ServerEvent } from '../domain/server/events.ts';
import { serverKeyOfStream } from '../domain/server/events.ts';
import type { StoredEvent } from '../store/event.ts';
import type { FoldedModels } from '../store/read-models.ts';
import type { ServerView } from '../store/servers.ts';

export function projectServer(
  stored: StoredEvent,
  event: ServerEvent,
  { servers }: FoldedModels,
): void {
  const key = serverKeyOfStream(stored.stream);
  assert(key !== undefined, 'an event of a server is in the stream of a server');
  const view = evolve(servers.get(key), stored, event);
  if (view === undefined) servers.remove(key);
  else servers.put(view);
}

/**
 * The view after the next event of its server; nothing when the server is removed. Folded over a
 * stream up to any position, it gives what the read models held then.
 */
export function evolveServerView(
  before: ServerView | undefined,
  stored: StoredEvent,
): ServerView | undefined {
  const event = decodeEvent(stored);
  assert(isServerEvent(event), 'the stream of a server holds events of servers');
  return evolve(before, stored, event);
}

function evolve(
  before: ServerView | undefined,
  stored: StoredEvent,
  event: ServerEvent,
): ServerView | undefined {
  const state = evolveServer(before, event);
  if (state === undefined) return undefined;
  return {
    ...state,
    version: stored.streamVersion,
    position: stored.position,
    createdAt: before?.createdAt ?? stored.occurredAt,
    updatedAt: stored.occurredAt,
  };
}
