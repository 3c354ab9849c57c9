/**
 * The routes of declared database servers: each has a cap that all tenants on it share.
 * Leaves: the rules to the core, the outside shape to shared/contract/server-resource.ts.
 */
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import {
  isServerName,
  newServerConfig,
  patchedServerConfig,
  SERVER_NAME_RULE,
  serverFieldsSchema,
  serverPatchSchema,
  serverReplaceSchema,
  toServerFields,
} from '@dbbouncer/shared/contract/server-resource.ts';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { serverNotFound } from '../domain/server/decide.ts';
import { serverOriginSchema } from '../domain/server/events.ts';
import type { ServerReader, ServerView } from '../store/servers.ts';
import { invalidField } from './api-errors.ts';
import { etagOf, expectedVersionOf } from './preconditions.ts';
import { changeHeaders } from './request-meta.ts';
import { problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';
import { serverBudgets, toBudgetAnswer } from './writes/server-budgets.ts';
import type { Write, WriteAnswer } from './writes/write.ts';
import { changeQuery } from './writes/write-options.ts';
import { removalResponses, writeResponses } from './writes/write-responses.ts';

const TAGS = ['Database servers'];
const PATH = '/servers/:name';

const nameParams = z.strictObject({
  name: z.string().refine(isServerName, { error: `must be ${SERVER_NAME_RULE}` }),
});

export const recordedServerSchema = serverFieldsSchema
  .extend({
    origin: serverOriginSchema.meta({ description: 'Who set it last: the API or the file.' }),
    version: z.int().meta({ description: 'The ETag without its quotes.' }),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({ id: 'DatabaseServer' });

const serverUseSchema = z
  .strictObject({
    ...recordedServerSchema.shape,
    tenants: z.int().meta({ description: 'Tenants with this host and port.' }),
    budget: z.int().meta({
      description: 'Server connections they may have together; never above max_connections.',
    }),
    server_max_connections: z.int().nullable().meta({
      description: 'What the server itself lets in, as it told a proxy; null: none has asked yet.',
    }),
    reserved_connections: z.int().nullable().meta({
      description: 'How many of these are for superusers and reserved roles alone.',
    }),
  })
  .meta({ id: 'DatabaseServerUse' });

const serverListSchema = z
  .strictObject({
    servers: z.array(recordedServerSchema).meta({ description: 'Ordered by name.' }),
  })
  .meta({ id: 'DatabaseServerList' });

export function registerServerRoutes(api: Api, services: ApiServices): void {
  registerReads(api, services);
  registerChanges(api, services);
  registerRemoval(api, services);
}

function registerReads(api: Api, { core }: ApiServices): void {
  const { servers } = core.tenants;
  api.route({
    method: 'GET',
    url: '/servers',
    config: { access: 'viewer', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'listServers',
      summary: 'List the database servers that have a cap of their own',
      querystring: z.strictObject({}),
      response: { 200: serverListSchema, ...problems() },
    },
    handler: () => ({ servers: servers.list().map(toRecordedServer) }),
  });
  api.route({
    method: 'GET',
    url: PATH,
    config: { access: 'viewer', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'getServer',
      summary: 'Read a database server, with what its tenants may have there and what it lets in',
      params: nameParams,
      querystring: z.strictObject({}),
      response: { 200: serverUseSchema, ...problems(400, 404) },
    },
    handler: ({ params }, reply) => answerUse(core, reply, findServer(servers, params.name)),
  });
}

function registerChanges(api: Api, { writes }: ApiServices): void {
  const responses = writeResponses(200, recordedServerSchema, 404, 409, 412, 428);
  const changing = {
    tags: TAGS,
    params: nameParams,
    querystring: changeQuery,
    headers: changeHeaders,
  };
  api.route({
    method: 'PUT',
    url: PATH,
    config: { access: 'admin', tenants: 'all' },
    schema: {
      ...changing,
      operationId: 'setServer',
      summary: 'Declare a database server with a cap that its tenants share, or change one',
      description:
        'Tenants belong to it by their host, whatever its case, and port. One that is not' +
        ' declared yet needs no If-Match.',
      body: serverReplaceSchema,
      response: { ...responses, 201: responses[200] },
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const { name } = request.params;
        const { name: inBody, ...input } = request.body;
        requireSameName(name, inBody);
        const current = write.scope.tenants.servers.get(name);
        return set(write, newServerConfig(current?.server.name ?? name, input), current);
      }),
  });
  api.route({
    method: 'PATCH',
    url: PATH,
    config: { access: 'admin', tenants: 'all' },
    schema: {
      ...changing,
      operationId: 'updateServer',
      summary: 'Change some settings of a declared database server',
      body: serverPatchSchema,
      response: responses,
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const { name } = request.params;
        requireSameName(name, request.body.name);
        const current = findServer(write.scope.tenants.servers, name);
        return set(write, patchedServerConfig(current.server, request.body), current);
      }),
  });
}

function registerRemoval(api: Api, { writes }: ApiServices): void {
  api.route({
    method: 'DELETE',
    url: PATH,
    config: { access: 'admin', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'removeServer',
      summary: 'Take the cap of a database server away; its tenants stay as they are',
      params: nameParams,
      querystring: changeQuery,
      headers: changeHeaders,
      response: removalResponses(404, 412, 428),
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const current = findServer(write.scope.tenants.servers, request.params.name);
        const command = { kind: 'remove_server', name: current.server.name } as const;
        const meta = { ...write.meta, expectedVersion: versionAsked(write, current) };
        const { position } = write.scope.handle(command, meta);
        return { status: 204, headers: {}, body: null, position };
      }),
  });
}

/** @throws SERVER_ADDRESS_TAKEN, SERVERS_FULL, VERSION_CONFLICT, PRECONDITION_REQUIRED */
function set(write: Write, server: ServerConfig, current: ServerView | undefined): WriteAnswer {
  const expectedVersion = current && versionAsked(write, current);
  const command = { kind: 'set_server', server } as const;
  const { view, position } = write.scope.handle(command, { ...write.meta, expectedVersion });
  assert(view !== undefined, 'only a removal leaves no view');
  return {
    status: current === undefined ? 201 : 200,
    headers: { etag: etagOf(view.version) },
    body: toRecordedServer(view),
    position,
  };
}

function versionAsked({ precondition }: Write, { server, version }: ServerView) {
  return expectedVersionOf(precondition, { what: `Server "${server.name}"`, version });
}

/** @throws SERVER_NOT_FOUND */
function findServer(servers: ServerReader, name: string): ServerView {
  const view = servers.get(name);
  if (view !== undefined) return view;
  throw serverNotFound(name);
}

/** A server cannot be renamed. @throws VALIDATION_FAILED */
function requireSameName(name: string, inBody: string | undefined): void {
  if (inBody === undefined || inBody.toLowerCase() === name.toLowerCase()) return;
  throw invalidField('name', `must be "${name}", as in the path, or be left out; got "${inBody}"`);
}

/** What the log knows of a server. */
export function toRecordedServer(view: ServerView): z.infer<typeof recordedServerSchema> {
  return {
    ...toServerFields(view.server),
    origin: view.origin,
    version: view.version,
    created_at: view.createdAt,
    updated_at: view.updatedAt,
  };
}

function answerUse(
  { tenants, fleet }: Pick<ApiServices['core'], 'tenants' | 'fleet'>,
  reply: FastifyReply,
  view: ServerView,
): z.infer<typeof serverUseSchema> {
  reply.header('etag', etagOf(view.version));
  const { summed } = serverBudgets([view.server], { tenants, fleet, reach: null, missing: [] });
  assert(summed[0] !== undefined, 'one server is summed up');
  const use = toBudgetAnswer(summed[0], fleet, []);
  return {
    ...toRecordedServer(view),
    tenants: use.tenants,
    budget: use.budget,
    server_max_connections: use.max_connections,
    reserved_connections: use.reserved_connections,
  };
}
