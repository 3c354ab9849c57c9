/** The inline projection of API keys: a part of tenant-views.ts, which calls it for them. */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { apiKeyIdOfStream } from '../domain/api-key/events.ts';
import type { ApiKeyEvent } from '../domain/api-key/events.ts';
import { evolveApiKey, NO_KEY } from '../domain/api-key/state.ts';
import type { ApiKeyState } from '../domain/api-key/state.ts';
import type { ApiKeyView } from '../store/api-keys.ts';
import type { StoredEvent } from '../store/event.ts';
import type { FoldedModels } from '../store/read-models.ts';

export function projectApiKey(
  stored: StoredEvent,
  event: ApiKeyEvent,
  { apiKeys }: FoldedModels,
): void {
  const id = apiKeyIdOfStream(stored.stream);
  assert(id !== undefined, 'an event of an API key is in the stream of a key');
  const before = apiKeys.get(id);
  const state = evolveApiKey(keyStateOf(before), event);
  assert(state.status !== 'absent', 'a revoked key is kept');
  apiKeys.put({
    key: state.key,
    version: stored.streamVersion,
    position: stored.position,
    createdAt: before?.createdAt ?? stored.occurredAt,
    createdBy: before?.createdBy ?? stored.actor,
    updatedAt: stored.occurredAt,
    revokedAt: state.status === 'revoked' ? stored.occurredAt : null,
  });
}

/** The folded state a view holds. */
export function keyStateOf(view: ApiKeyView | undefined): ApiKeyState {
  if (view === undefined) return NO_KEY;
  return { status: view.revokedAt === null ? 'live' : 'revoked', key: view.key };
}
