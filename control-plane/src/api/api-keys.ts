/**
 * The routes of API keys: make or take one, keep what recognises it, show everything but that.
 * A key is in one answer, that of its creation, and only when it was made here.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { BUILT_IN_NAME } from '../access/key-guard.ts';
import { proofOf } from '../access/key-hash.ts';
import { CHOSEN_KEY_CHARS_MIN, generateKey, KEY_TEXT, prefixOf } from '../access/key-text.ts';
import type { ApiKeyCommand } from '../domain/api-key/commands.ts';
import type { ApiKeyChanges } from '../domain/api-key/events.ts';
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
import { etagOf, expectedVersionOf } from './preconditions.ts';
import { commandMeta, reasonQuery } from './request-meta.ts';
import { problems } from './route-docs.ts';
import type { Api } from './server.ts';
import type { ApiServices } from './services.ts';

const TAGS = ['API keys'];
const PAGE_DEFAULT = 100;
const PAGE_MAX = 1_000;
const CONFIG = { access: 'admin', tenants: 'all' } as const;

const idParams = z.strictObject({ id: z.string().min(1) });

const rights = {
  name: z
    .string()
    .trim()
    .min(1)
    .max(63)
    // oxlint-disable-next-line no-control-regex -- they would end up in logs and lists
    .regex(/^[^\u0000-\u001f\u007f]*$/, { error: 'must not contain control characters' })
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
  expires_at: z.iso.datetime().nullable().optional().meta({
    description: 'When it stops to be valid, in UTC, as in 2027-01-31T12:00:00Z. null: never.',
  }),
};

/** Documents the headers; others pass. */
const keyHeaders = z.looseObject({
  'if-match': z.string().optional().meta({
    description: 'An ETag: the change is made only if the key is still at that version.',
  }),
  'x-reason': z.string().optional(),
  'x-request-id': z.string().optional(),
});

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
  const { clock, newKeyId } = services;
  api.route({
    method: 'POST',
    url: '/api-keys',
    config: CONFIG,
    schema: {
      tags: TAGS,
      summary: 'Create an API key; a generated one is in this answer and nowhere else',
      querystring: reasonQuery,
      headers: keyHeaders,
      body: createBody,
      response: { 201: createdApiKeySchema, ...problems(400, 409, 413, 415) },
    },
    handler: async (request, reply) => {
      const { key: chosen, name, scope, tenants = null, expires_at } = request.body;
      if (chosen !== undefined) await requireUsable(services, chosen);
      requireFreeName(name);
      const text = chosen ?? generateKey();
      const key = {
        id: newKeyId(),
        name,
        scope,
        tenants,
        expiresAt: inMilliseconds(expires_at) ?? null,
        prefix: prefixOf(text),
        proof: await proofOf(text),
      };
      const command = { kind: 'create_api_key', key, at: clock.timestamp() } as const;
      const view = await change(services, request, command);
      reply.code(201).header('location', `/api-keys/${view.key.id}`);
      return { ...answer(services, reply, view), key: chosen === undefined ? text : null };
    },
  });
}

function registerChanges(api: Api, services: ApiServices): void {
  api.route({
    method: 'PATCH',
    url: '/api-keys/:id',
    config: CONFIG,
    schema: {
      tags: TAGS,
      summary: 'Change the name, scope, tenants or expiry of an API key, from the next request on',
      description: 'What is not given stays as it is. The key itself cannot be changed.',
      params: idParams,
      querystring: reasonQuery,
      headers: keyHeaders,
      body: changeBody,
      response: { 200: apiKeySchema, ...problems(400, 404, 409, 412, 413, 415) },
    },
    handler: async (request, reply) => {
      const { expires_at, ...given } = request.body;
      if (given.name !== undefined) requireFreeName(given.name);
      const changes = { ...given, expiresAt: inMilliseconds(expires_at) } as ApiKeyChanges;
      const { id } = requireChangeable(services, request.params.id).key;
      const at = services.clock.timestamp();
      const command = { kind: 'update_api_key', id, changes, at } as const;
      return answer(services, reply, await change(services, request, command));
    },
  });
  api.route({
    method: 'DELETE',
    url: '/api-keys/:id',
    config: CONFIG,
    schema: {
      tags: TAGS,
      summary: 'Revoke an API key for good, from the next request on',
      params: idParams,
      querystring: reasonQuery,
      headers: keyHeaders,
      response: { 204: z.null(), ...problems(404, 409, 412) },
    },
    handler: async (request, reply) => {
      const { id } = requireChangeable(services, request.params.id).key;
      await change(services, request, { kind: 'revoke_api_key', id });
      return reply.code(204).send(null);
    },
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

async function change(
  { core }: ApiServices,
  request: FastifyRequest,
  command: ApiKeyCommand,
): Promise<ApiKeyView> {
  const current = 'id' in command ? core.apiKeys.get(command.id) : undefined;
  const { view } = await core.commands.handle(command, {
    ...commandMeta(request),
    expectedVersion:
      current &&
      expectedVersionOf(
        { ifMatch: request.headers['if-match'], version: 'checked' },
        { what: `API key "${current.key.name}"`, version: current.version },
      ),
  });
  return view;
}

function answer(services: ApiServices, reply: FastifyReply, view: ApiKeyView) {
  reply.header('etag', etagOf(view.version));
  return toApiKeyAnswer(view, services);
}

const UTC_TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(?:\.(\d+))?Z$/;

/** In the one form whose order as text is the order in time. */
function inMilliseconds(time: string | null | undefined): string | null | undefined {
  if (time === null || time === undefined) return time;
  const [, minute = '', second = ':00', fraction = ''] = UTC_TIME.exec(time) ?? [];
  return `${minute}${second}.${fraction.slice(0, 3).padEnd(3, '0')}Z`;
}
