/**
 * The routes of API keys: make or take one, keep what recognises it, show everything but that.
 * A key is in one answer, that of its creation, and only when it was made here.
 */
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { toTimestamp } from '@dbbouncer/shared/kernel/clock.ts';
import { BUILT_IN_NAME } from '../access/key-guard.ts';
import { proofOf } from '../access/key-hash.ts';
import { CHOSEN_KEY_CHARS_MIN, generateKey, KEY_TEXT, prefixOf } from '../access/key-text.ts';
import type { ApiKeyCommand } from '../domain/api-key/commands.ts';
import type { ApiKey, ApiKeyChanges } from '../domain/api-key/events.ts';
import { SCOPES } from '../domain/api-key/scopes.ts';
import { TENANT_PATTERN, TENANT_PATTERN_RULE } from '../domain/api-key/tenant-pattern.ts';
import { controlErrors } from '../errors.ts';
import type { ApiKeyView } from '../store/api-keys.ts';
import {
  apiKeyListSchema,
  apiKeySchema,
  builtInAnswer,
  createdApiKeySchema,
  toApiKeyAnswer,
} from './api-key-answers.ts';
import { invalidField } from './api-errors.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { timeSchema } from './event-requests.ts';
import { etagOf, expectedVersionOf } from './preconditions.ts';
import { changeHeaders, writeHeaders } from './request-meta.ts';
import { problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';
import type { Write } from './writes/write.ts';
import { changeQuery, writeQuery } from './writes/write-options.ts';
import { removalResponses, writeResponses } from './writes/write-responses.ts';

const TAGS = ['API keys'];
const PAGE_DEFAULT = 100;
const PAGE_MAX = 1_000;
const CONFIG = { access: 'admin', tenants: 'all' } as const;

const idParams = z.strictObject({ id: z.string().min(1) });

/**
 * Names are read in logs and lists: controls, what turns the direction of text, blanks of no width,
 * line ends, halves of a character.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

const rights = {
  name: z
    .string()
    .trim()
    .min(1)
    .max(63)
    .refine((text) => !UNSEEN.test(text), {
      error: 'must not contain control characters or others that are not seen',
    })
    .meta({ description: 'Whose it is, or what for; no two live keys have the same.' }),
  scope: z.enum(SCOPES).meta({
    description: 'viewer reads; operator also operates and updates tenants; admin may everything.',
  }),
  tenants: z
    .string()
    .regex(TENANT_PATTERN, { error: `must be ${TENANT_PATTERN_RULE}` })
    .nullable()
    .optional()
    .meta({
      description:
        'Only tenants whose id matches, with * for any characters and ? for one. Others do not' +
        ' exist for the holder, who also may nothing that is about all. null: no such limit.',
    }),
  expires_at: timeSchema.nullable().optional().meta({
    description: 'When it stops to be valid. null: never.',
  }),
};

const createBody = z.strictObject({
  ...rights,
  key: z
    .string()
    .regex(KEY_TEXT, { error: 'must be 1 to 512 printable ASCII characters without blanks' })
    .optional()
    .meta({
      writeOnly: true,
      description:
        `The key itself, of at least ${CHOSEN_KEY_CHARS_MIN} characters;` +
        ' left out, one is made.',
    }),
});
const changeBody = z.strictObject(rights).partial();

const listQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
  cursor: z.string().optional().meta({ description: 'The next_cursor of the page before.' }),
  include: z.enum(['live', 'revoked_too']).default('live'),
});

export function registerApiKeyRoutes(api: Api, services: ApiServices): void {
  registerReads(api, services);
  registerCreation(api, services);
  registerChanges(api, services);
}

function registerReads(api: Api, services: ApiServices): void {
  const { apiKeys } = services.core;
  api.route({
    method: 'GET',
    url: '/api-keys',
    config: CONFIG,
    schema: {
      tags: TAGS,
      operationId: 'listApiKeys',
      summary: 'List API keys by what may be told of them, the one of the settings first',
      querystring: listQuery,
      response: { 200: apiKeyListSchema, ...problems(400) },
    },
    handler: ({ query }) => {
      const { limit, cursor, include } = query;
      const page = apiKeys.list({ limit, after: decodeCursor(cursor), include });
      const listed = page.keys.map((view) => toApiKeyAnswer(view, services));
      return {
        api_keys: cursor === undefined ? [builtInAnswer(services), ...listed] : listed,
        next_cursor: encodeCursor(page.next),
      };
    },
  });
  api.route({
    method: 'GET',
    url: '/api-keys/:id',
    config: CONFIG,
    schema: {
      tags: TAGS,
      operationId: 'getApiKey',
      summary: 'Read what may be told of an API key; its version is the ETag',
      params: idParams,
      querystring: z.strictObject({}),
      response: { 200: apiKeySchema, ...problems(404) },
    },
    handler: ({ params }, reply) => {
      if (params.id === services.builtInKey.id) return builtInAnswer(services);
      return answer(services, reply, requireKey(services, params.id));
    },
  });
}

function registerCreation(api: Api, services: ApiServices): void {
  const { clock, writes } = services;
  api.route({
    method: 'POST',
    url: '/api-keys',
    config: CONFIG,
    schema: {
      tags: TAGS,
      operationId: 'createApiKey',
      summary: 'Create an API key; a generated one is in this answer and nowhere else',
      description: 'A repetition under the same Idempotency-Key tells all of it but the key.',
      querystring: writeQuery,
      headers: writeHeaders,
      body: createBody,
      response: writeResponses(201, createdApiKeySchema, 409),
    },
    handler: async (request, reply) => {
      const text = request.body.key ?? generateKey();
      const made = await prepare(services, request.body, text);
      await writes.perform(request, reply, (write) => {
        // A repetition finds its own key in its way: what was answered to it comes first.
        if ('refusal' in made) throw made.refusal;
        const command = { kind: 'create_api_key', key: made.key, at: clock.timestamp() } as const;
        const done = change(services, write, command);
        const key = request.body.key === undefined ? text : null;
        return {
          ...done,
          status: 201,
          headers: { ...done.headers, location: `/api-keys/${done.body.id}` },
          body: { ...done.body, key },
          told: { ...done.body, key: null },
        };
      });
    },
  });
}

type Prepared = { readonly key: ApiKey } | { readonly refusal: unknown };

/** What takes time: nobody else's command waits for it. */
async function prepare(
  services: ApiServices,
  { key: chosen, name, scope, tenants = null, expires_at }: z.infer<typeof createBody>,
  text: string,
): Promise<Prepared> {
  try {
    if (chosen !== undefined) await requireUsable(services, chosen);
    requireFreeName(name);
  } catch (refusal) {
    return { refusal };
  }
  const id = services.newKeyId();
  const expiresAt = inUtc(expires_at) ?? null;
  const proof = await proofOf(text);
  return { key: { id, name, scope, tenants, expiresAt, prefix: prefixOf(text), proof } };
}

function registerChanges(api: Api, services: ApiServices): void {
  const { clock, writes } = services;
  api.route({
    method: 'PATCH',
    url: '/api-keys/:id',
    config: CONFIG,
    schema: {
      tags: TAGS,
      operationId: 'updateApiKey',
      summary: 'Change the name, scope, tenants or expiry of an API key, from the next request on',
      description: 'What is not given stays as it is. The key itself cannot be changed.',
      params: idParams,
      querystring: changeQuery,
      headers: changeHeaders,
      body: changeBody,
      response: writeResponses(200, apiKeySchema, 404, 409, 412, 428),
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const { expires_at, ...given } = request.body;
        if (given.name !== undefined) requireFreeName(given.name);
        const changes = { ...given, expiresAt: inUtc(expires_at) } as ApiKeyChanges;
        const { id } = requireChangeable(services, request.params.id).key;
        const at = clock.timestamp();
        return change(services, write, { kind: 'update_api_key', id, changes, at });
      }),
  });
  api.route({
    method: 'DELETE',
    url: '/api-keys/:id',
    config: CONFIG,
    schema: {
      tags: TAGS,
      operationId: 'revokeApiKey',
      summary: 'Revoke an API key for good, from the next request on',
      params: idParams,
      querystring: changeQuery,
      headers: changeHeaders,
      response: removalResponses(404, 409, 412, 428),
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const { id } = requireChangeable(services, request.params.id).key;
        const { position } = change(services, write, { kind: 'revoke_api_key', id });
        return { status: 204, headers: {}, body: null, position };
      }),
  });
}

/** @throws API_KEY_NOT_FOUND */
function requireKey({ core }: ApiServices, id: string): ApiKeyView {
  const view = core.apiKeys.get(id);
  if (view !== undefined) return view;
  throw controlErrors.fail('API_KEY_NOT_FOUND', `No API key has the id ${JSON.stringify(id)}.`);
}

/** @throws API_KEY_NOT_FOUND, API_KEY_BUILT_IN */
function requireChangeable(services: ApiServices, id: string): ApiKeyView {
  if (id !== services.builtInKey.id) return requireKey(services, id);
  throw controlErrors.fail('API_KEY_BUILT_IN', 'This API key is that of the settings.', {
    hint: 'Set another DBBOUNCER_API_KEY, or put another one into api.key, and start again.',
  });
}

/** Of what the rules do not know: the key of the settings is in no event. @throws API_KEY_EXISTS */
function requireFreeName(name: string): void {
  if (name.toLowerCase() !== BUILT_IN_NAME) return;
  throw controlErrors.fail(
    'API_KEY_EXISTS',
    `"${name}" is what the key of the settings is called.`,
  );
}

/** @throws VALIDATION_FAILED, API_KEY_EXISTS */
async function requireUsable({ guard, environment }: ApiServices, key: string): Promise<void> {
  if (key.length < CHOSEN_KEY_CHARS_MIN && environment !== 'development') {
    throw invalidField(
      'key',
      `has ${key.length} characters; at least ${CHOSEN_KEY_CHARS_MIN} are needed outside of` +
        ' development. Leave it out to have one made',
    );
  }
  const { outcome } = await guard.recognise(`Bearer ${key}`);
  if (outcome === 'holder') throw controlErrors.fail('API_KEY_EXISTS', 'This key is in use.');
}

function change(services: ApiServices, write: Write, command: ApiKeyCommand) {
  const { scope, meta, precondition } = write;
  const current = 'id' in command ? scope.apiKeys.get(command.id) : undefined;
  const { view, position } = scope.handle(command, {
    ...meta,
    expectedVersion:
      current &&
      expectedVersionOf(precondition, {
        what: `API key "${current.key.name}"`,
        version: current.version,
      }),
  });
  const body = toApiKeyAnswer(view, services);
  return { status: 200, headers: { etag: etagOf(view.version) }, body, position };
}

function answer(services: ApiServices, reply: FastifyReply, view: ApiKeyView) {
  reply.header('etag', etagOf(view.version));
  return toApiKeyAnswer(view, services);
}

/** In the one form whose order as text is the order in time. */
function inUtc(time: string | null | undefined): string | null | undefined {
  return typeof time === 'string' ? toTimestamp(time) : time;
}
