/**
 * What an admin can ask of API keys. Keys arrive as what recognises them, never themselves.
 */
import type { ApiKey, ApiKeyChanges } from './events.ts';

export interface CreateApiKey {
  readonly kind: 'create_api_key';
  readonly key: ApiKey;
  /** When it is asked, as RFC 3339 in UTC with milliseconds. */
  readonly at: string;
}

/** Changes what is present. */
export interface UpdateApiKey {
  readonly kind: 'update_api_key';
  readonly id: string;
  readonly changes: ApiKeyChanges;
  readonly at: string;
}

/** For good: a revoked key is never valid again. */
export interface RevokeApiKey {
  readonly kind: 'revoke_api_key';
  readonly id: string;
}

export type ApiKeyCommand = CreateApiKey | UpdateApiKey | RevokeApiKey;

/** The id a command is about. */
export function apiKeyIdOf(command: ApiKeyCommand): string {
  return command.kind === 'create_api_key' ? command.key.id : command.id;
}
