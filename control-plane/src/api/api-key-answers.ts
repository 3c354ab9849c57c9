/**
 * What the API tells of API keys: everything but what recognises them.
 */
import { z } from 'zod';
import { BUILT_IN_NAME } from '../access/key-guard.ts';
import { SCOPES } from '../domain/api-key/scopes.ts';
import type { ApiKeyView } from '../store/api-keys.ts';
import type { ApiServices } from './services.ts';

const apiKeyFields = {
  id: z.string().meta({ description: 'Events name the holder as `api:` and this.' }),
  name: z.string(),
  scope: z.enum(SCOPES),
  tenants: z.string().nullable().meta({ description: 'A pattern of ids; null reaches all.' }),
  prefix: z.string().meta({ description: 'How the key begins.' }),
  origin: z.enum(['api', 'settings', 'file']).meta({
    description: 'Where it comes from; only those of the API can be changed or revoked here.',
  }),
  state: z.enum(['live', 'expired', 'revoked']),
  expires_at: z.iso.datetime().nullable(),
  last_used_at: z.iso
    .datetime()
    .nullable()
    .meta({ description: 'Kept now and then: after a crash it can be a minute too early.' }),
  created_by: z.string().nullable(),
  created_at: z.iso.datetime().nullable(),
  updated_at: z.iso.datetime().nullable(),
  revoked_at: z.iso.datetime().nullable(),
  version: z.int().meta({ description: 'The ETag without its quotes; 0: without events.' }),
};

export const apiKeySchema = z.strictObject(apiKeyFields).meta({ id: 'ApiKey' });
type ApiKeyAnswer = z.infer<typeof apiKeySchema>;

export const createdApiKeySchema = z
  .strictObject({
    ...apiKeyFields,
    key: z.string().nullable().meta({
      description: 'The generated key, this once; null when it was chosen.',
    }),
  })
  .meta({ id: 'CreatedApiKey' });

export const apiKeyListSchema = z
  .strictObject({
    api_keys: z.array(apiKeySchema),
    next_cursor: z.string().nullable().meta({ description: 'null on the last page.' }),
  })
  .meta({ id: 'ApiKeyList' });

export function toApiKeyAnswer(view: ApiKeyView, services: ApiServices): ApiKeyAnswer {
  const { id, name, scope, tenants, prefix, expiresAt } = view.key;
  return {
    id,
    name,
    scope,
    tenants,
    prefix,
    origin: 'api',
    state: stateOf(view, services.clock.timestamp()),
    expires_at: expiresAt,
    last_used_at: services.keyUses.lastOf(id) ?? null,
    created_by: view.createdBy,
    created_at: view.createdAt,
    updated_at: view.updatedAt,
    revoked_at: view.revokedAt,
    version: view.version,
  };
}

function stateOf({ key, revokedAt }: ApiKeyView, now: string): ApiKeyAnswer['state'] {
  if (revokedAt !== null) return 'revoked';
  return key.expiresAt !== null && key.expiresAt <= now ? 'expired' : 'live';
}

/** The key of the settings or of its file, which no event created. */
export function builtInAnswer({ builtInKey, keyUses }: ApiServices): ApiKeyAnswer {
  const { id, prefix, origin } = builtInKey;
  return {
    id,
    name: BUILT_IN_NAME,
    scope: 'admin',
    tenants: null,
    prefix,
    origin,
    state: 'live',
    expires_at: null,
    last_used_at: keyUses.lastOf(id) ?? null,
    created_by: null,
    created_at: null,
    updated_at: null,
    revoked_at: null,
    version: 0,
  };
}
