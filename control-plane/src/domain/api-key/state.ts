/** What an API key is after its events: the fold that views and decisions share. */
import { assert, unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { ApiKey, ApiKeyEvent } from './events.ts';

export type ApiKeyState =
  { readonly status: 'absent' } | { readonly status: 'live' | 'revoked'; readonly key: ApiKey };

export const NO_KEY: ApiKeyState = Object.freeze({ status: 'absent' });

export function evolveApiKey(state: ApiKeyState, event: ApiKeyEvent): ApiKeyState {
  if (event.type === 'ApiKeyCreated') return { status: 'live', key: event.data.key };
  assert(state.status === 'live', 'only a live key changes');
  switch (event.type) {
    case 'ApiKeyUpdated':
      return { status: 'live', key: { ...state.key, ...event.data.changes } as ApiKey };
    case 'ApiKeyRevoked':
      return { status: 'revoked', key: state.key };
    default:
      return unreachable(event);
  }
}
