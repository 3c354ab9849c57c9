/**
 * The fleet's default pool settings: what holds for every tenant that does not say otherwise.
 * Leaves: the rules to the core, the settings' outside names to shared/contract/pool-settings.ts.
 */
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import {
  DEFAULT_POOL_SETTINGS,
  POOL_SETTING_KEYS,
  poolAnswerSchema,
  toPoolAnswer,
  toPoolChanges,
  writtenPoolFields,
} from '@dbbouncer/shared/contract/pool-settings.ts';
import type { PoolChangeSet, PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { DefaultsView } from '../store/read-models.ts';
import { etagOf, expectedVersionOf } from './preconditions.ts';
import { changeHeaders } from './request-meta.ts';
import { problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';
import type { Write, WriteAnswer } from './writes/write.ts';
import { changeQuery } from './writes/write-options.ts';
import { writeResponses } from './writes/write-responses.ts';

const TAGS = ['Operation'];
const PATH = '/defaults';

const defaultsBody = z.strictObject(writtenPoolFields);
const defaultsSchema = poolAnswerSchema
  .extend({
    version: z.int().meta({ description: 'The ETag without its quotes; 0 until they are set.' }),
  })
  .meta({ id: 'Defaults' });

export function registerDefaultsRoutes(api: Api, services: ApiServices): void {
  const { writes, core } = services;
  api.route({
    method: 'GET',
    url: PATH,
    config: { access: 'viewer', tenants: 'none' },
    schema: {
      tags: TAGS,
      operationId: 'getDefaults',
      summary: 'Read the settings of every tenant that does not say otherwise',
      querystring: z.strictObject({}),
      response: { 200: defaultsSchema, ...problems() },
    },
    handler: (_request, reply) => answer(reply, core.tenants.getDefaults()),
  });
  const changing = {
    querystring: changeQuery,
    headers: changeHeaders,
    body: defaultsBody,
    response: writeResponses(200, defaultsSchema, 412, 428),
  };
  api.route({
    method: 'PUT',
    url: PATH,
    config: { access: 'admin', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'replaceDefaults',
      summary: 'Replace the settings of every tenant that does not say otherwise',
      description: 'What is not given, or null, goes back to what DBBouncer comes with.',
      ...changing,
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) =>
        change(write, settingsWith(DEFAULT_POOL_SETTINGS, toPoolChanges(request.body))),
      ),
  });
  api.route({
    method: 'PATCH',
    url: PATH,
    config: { access: 'admin', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'updateDefaults',
      summary: 'Change some settings of every tenant that does not say otherwise',
      description: 'What is not given stays as it is; null goes back to what DBBouncer comes with.',
      ...changing,
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const { defaults } = write.scope.tenants.getDefaults();
        return change(write, settingsWith(defaults, toPoolChanges(request.body)));
      }),
  });
}

function settingsWith(present: PoolSettings, changes: PoolChangeSet): PoolSettings {
  const settings = POOL_SETTING_KEYS.map((key) => {
    const changed = changes[key];
    if (changed === null) return [key, DEFAULT_POOL_SETTINGS[key]];
    return [key, changed ?? present[key]];
  });
  return Object.freeze(Object.fromEntries(settings)) as PoolSettings;
}

/** @throws VALIDATION_FAILED, VERSION_CONFLICT, PRECONDITION_REQUIRED */
function change({ scope, meta, precondition }: Write, defaults: PoolSettings): WriteAnswer {
  const { version } = scope.tenants.getDefaults();
  const expectedVersion = expectedVersionOf(precondition, { what: PATH, version });
  const command = { kind: 'set_defaults', defaults } as const;
  const { view, position } = scope.handle(command, { ...meta, expectedVersion });
  return { status: 200, headers: { etag: etagOf(view.version) }, body: toAnswer(view), position };
}

function answer(reply: FastifyReply, view: DefaultsView) {
  reply.header('etag', etagOf(view.version));
  return toAnswer(view);
}

function toAnswer({ defaults, version }: DefaultsView) {
  return { ...toPoolAnswer(defaults), version };
}
