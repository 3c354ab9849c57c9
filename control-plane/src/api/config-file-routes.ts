/**
 * The routes about the config file: how it stands to what is registered, and reading it now.
 * Leaves: reading and doing what it says to config-file/.
 */
import { z } from 'zod';
import type { ConfigFileStatus } from '../config-file/status.ts';
import { apiErrors } from './api-errors.ts';
import { problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';
import { isSaid, queryFlag } from './writes/query-flag.ts';

const TAGS = ['Operation'];
/** Of the tenants that are not as the file says; there is a count of all. */
const KEPT_SHOWN_MAX = 100;

const statusSchema = z
  .strictObject({
    path: z.string(),
    state: z.enum(['applied', 'rejected', 'missing', 'waiting']).meta({
      description:
        'rejected: nothing of it was done, and what was loaded before stays in force.' +
        ' missing: the same, since it is gone.',
    }),
    checked_at: z.iso.datetime().meta({ description: 'When it was last read.' }),
    applied_at: z.iso.datetime().nullable(),
    applied_content: z.string().nullable().meta({
      description: 'Tells that content from others; it stands in the reason of its events, too.',
    }),
    problems: z.array(
      z.strictObject({
        line: z.int(),
        column: z.int(),
        path: z.string(),
        message: z.string(),
      }),
    ),
    kept: z
      .strictObject({
        tenants: z.array(z.string()).meta({ description: `The first ${KEPT_SHOWN_MAX}.` }),
        tenant_count: z.int(),
        servers: z.array(z.string()).meta({ description: `The first ${KEPT_SHOWN_MAX}.` }),
        defaults: z.boolean(),
      })
      .meta({
        description:
          'What was not as the file says when it was last read, since it was changed elsewhere' +
          ' after the file had said so.',
      }),
    waiting_settings: z.array(z.string()).meta({
      description: 'Settings of the process that are others since its start; they wait for one.',
    }),
  })
  .meta({ id: 'ConfigFile' });

export function registerConfigFileRoutes(api: Api, services: ApiServices): void {
  api.route({
    method: 'GET',
    url: '/config-file',
    config: { access: 'viewer', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'getConfigFile',
      summary: 'Whether the config file is in force, and if not, why, with line and column',
      querystring: z.strictObject({}),
      response: { 200: statusSchema, ...problems(404) },
    },
    handler: () => toAnswer(followerOf(services).status()),
  });
  api.route({
    method: 'POST',
    url: '/config-file/reload',
    config: { access: 'admin', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'reloadConfigFile',
      summary: 'Read the config file now',
      description:
        'It is read by itself when it changes. With `force`, all of it is done, and what was' +
        ' changed elsewhere is undone for the tenants that it lists. The answer tells how it went.',
      querystring: z.strictObject({
        force: queryFlag('Undoes what was changed elsewhere on the tenants it lists.'),
      }),
      response: { 200: statusSchema, ...problems(400, 404) },
    },
    handler: async (request) => {
      const scope = isSaid(request.query.force) ? 'whole' : 'news';
      const asked = { actor: request.actor, requestId: request.id };
      return toAnswer(await followerOf(services).reload({ scope, asked }));
    },
  });
}

/** @throws CONFIG_FILE_ABSENT */
function followerOf({ configFile }: ApiServices): NonNullable<ApiServices['configFile']> {
  if (configFile !== undefined) return configFile;
  throw apiErrors.fail('CONFIG_FILE_ABSENT', 'This control plane was started without a file.', {
    hint: 'Name one with --config or DBBOUNCER_CONFIG, or put dbbouncer.yaml where it starts.',
  });
}

function toAnswer(status: ConfigFileStatus): z.infer<typeof statusSchema> {
  const { kept } = status;
  return {
    path: status.path,
    state: status.state,
    checked_at: status.checkedAt,
    applied_at: status.appliedAt ?? null,
    applied_content: status.appliedContent ?? null,
    problems: status.problems.map(({ line, column, path, message }) => {
      return { line, column, path, message };
    }),
    kept: {
      tenants: kept.tenants.slice(0, KEPT_SHOWN_MAX),
      tenant_count: kept.tenants.length,
      servers: kept.servers.slice(0, KEPT_SHOWN_MAX),
      defaults: kept.defaults,
    },
    waiting_settings: [...status.waitingSettings],
  };
}
