/**
 * The tenant routes: validate, seal, hand a command to the core, answer with its view and ETag.
 * Leaves: the rules to the core, the outside shape to shared/contract/tenant-resource.ts.
 */
import { z } from 'zod';
import {
  newTenantConfig,
  replaceTenantConfig,
  toTenantChanges,
} from '@dbbouncer/shared/contract/tenant-conversion.ts';
import {
  tenantCreateSchema,
  tenantPatchSchema,
  tenantReplaceSchema,
} from '@dbbouncer/shared/contract/tenant-resource.ts';
import { reachOf, requireReach } from './access.ts';
import { tenantAnswerSchema, tenantListSchema, toTenantAnswer } from './answers.ts';
import { canaryQuery, triedFirst } from './canaries.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { changeHeaders, writeHeaders } from './request-meta.ts';
import { problems } from './route-docs.ts';
import { GivenSecrets } from './sent-secrets.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';
import {
  answer,
  change,
  findTenant,
  handle,
  idParams,
  requireSameId,
  requireTenant,
  secretMaker,
} from './tenant-requests.ts';
import { tenantStatsSchema, toTenantStats } from './tenant-stats.ts';
import { changeQuery, tenantQuery } from './writes/write-options.ts';
import { removalResponses, writeResponses } from './writes/write-responses.ts';

const TAGS = ['Tenants'];
const PAGE_DEFAULT = 100;
const PAGE_MAX = 1_000;

const ANOTHER_SERVER =
  'A key without scope admin that names another server gives every password in the same request.';

const noQuery = z.strictObject({});
const listQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
  cursor: z.string().optional().meta({ description: 'The next_cursor of the page before.' }),
  search: z.string().max(255).optional().meta({
    description: 'Only tenants whose id, host, database or user name holds this text.',
  }),
});

export function registerTenantRoutes(api: Api, services: ApiServices): void {
  registerReads(api, services);
  registerRegistration(api, services);
  registerChanges(api, services);
  registerRemoval(api, services);
}

function registerReads(api: Api, services: ApiServices): void {
  const { tenants, fleet } = services.core;
  api.route({
    method: 'GET',
    url: '/tenants',
    config: { access: 'viewer', tenants: 'handler' },
    schema: {
      tags: TAGS,
      operationId: 'listTenants',
      summary: 'List tenants with their settings and pool statistics, ordered by id',
      querystring: listQuery,
      response: { 200: tenantListSchema, ...problems(400) },
    },
    handler: (request) => {
      const { limit, cursor, search } = request.query;
      const after = decodeCursor(cursor);
      const page = tenants.listTenants({ limit, after, search, reach: reachOf(request) });
      const { defaults } = tenants.getDefaults();
      return {
        tenants: page.tenants.map((view) => toTenantAnswer(view, defaults, fleet)),
        next_cursor: encodeCursor(page.next),
      };
    },
  });
  api.route({
    method: 'GET',
    url: '/tenants/:id',
    config: { access: 'viewer', tenants: 'path' },
    schema: {
      tags: TAGS,
      operationId: 'getTenant',
      summary: 'Read a tenant; its version is the ETag',
      params: idParams,
      querystring: noQuery,
      response: { 200: tenantAnswerSchema, ...problems(404) },
    },
    handler: ({ params }, reply) => answer(services, reply, requireTenant(services, params.id)),
  });
  api.route({
    method: 'GET',
    url: '/tenants/:id/stats',
    config: { access: 'viewer', tenants: 'path' },
    schema: {
      tags: TAGS,
      operationId: 'getTenantStats',
      summary: "A tenant's pools and traffic on all live proxies, summed and one by one",
      params: idParams,
      querystring: noQuery,
      response: { 200: tenantStatsSchema, ...problems(404) },
    },
    handler: ({ params }) => {
      const view = requireTenant(services, params.id);
      return toTenantStats(view, tenants.getDefaults().defaults, services.core);
    },
  });
}

function registerRegistration(api: Api, services: ApiServices): void {
  const { writes, core } = services;
  api.route({
    method: 'POST',
    url: '/tenants',
    config: { access: 'admin', tenants: 'handler' },
    schema: {
      tags: TAGS,
      operationId: 'registerTenant',
      summary: 'Register a tenant',
      querystring: tenantQuery,
      headers: writeHeaders,
      body: tenantCreateSchema,
      response: writeResponses(201, tenantAnswerSchema, 409, 424),
    },
    handler: (request, reply) => {
      const { body } = request;
      const { id } = body;
      requireReach(request, id);
      return writes.perform(request, reply, (write) => {
        const tenant = newTenantConfig(id, body, secretMaker(services, id));
        const command = { kind: 'register_tenant', tenant, origin: 'api' } as const;
        const done = change(write, core.fleet, command);
        const location = `/tenants/${encodeURIComponent(done.body.id)}`;
        return { ...done, status: 201, headers: { ...done.headers, location } };
      });
    },
  });
}

function registerChanges(api: Api, services: ApiServices): void {
  const { writes, core } = services;
  api.route({
    method: 'PUT',
    url: '/tenants/:id',
    config: { access: 'operator', tenants: 'path' },
    schema: {
      tags: TAGS,
      operationId: 'replaceTenant',
      summary: 'Replace the settings of a tenant that exists',
      description:
        'What is not given goes back to its default, except the password, which is kept.' +
        ` ${ANOTHER_SERVER}` +
        ' An id that is not registered answers 404: POST /tenants registers.',
      params: idParams,
      querystring: canaryQuery,
      headers: changeHeaders,
      body: tenantReplaceSchema,
      response: writeResponses(200, tenantAnswerSchema, 404, 409, 412, 424, 428),
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const current = findTenant(write.scope.tenants, request.params.id);
        const { config } = current;
        requireSameId(config.id, request.body.id);
        const given = new GivenSecrets(secretMaker(services, config.id));
        const tenant = replaceTenantConfig(config, request.body, given.make);
        const command = triedFirst(services, request, { kind: 'replace_tenant', tenant });
        const done = change(write, core.fleet, command, current);
        given.requireEnough(request, config, done.tenant);
        return done;
      }),
  });
  api.route({
    method: 'PATCH',
    url: '/tenants/:id',
    config: { access: 'operator', tenants: 'path' },
    schema: {
      tags: TAGS,
      operationId: 'updateTenant',
      summary: 'Change some settings of a tenant',
      description: `What is not given stays; null goes back to the default. ${ANOTHER_SERVER}`,
      params: idParams,
      querystring: canaryQuery,
      headers: changeHeaders,
      body: tenantPatchSchema,
      response: writeResponses(200, tenantAnswerSchema, 404, 409, 412, 424, 428),
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const current = findTenant(write.scope.tenants, request.params.id);
        const { config } = current;
        requireSameId(config.id, request.body.id);
        const given = new GivenSecrets(secretMaker(services, config.id));
        const changes = toTenantChanges(config, request.body, given.make);
        const updating = { kind: 'update_tenant', id: config.id, changes } as const;
        const command = triedFirst(services, request, updating);
        const done = change(write, core.fleet, command, current);
        given.requireEnough(request, config, done.tenant);
        return done;
      }),
  });
}

function registerRemoval(api: Api, { writes }: ApiServices): void {
  api.route({
    method: 'DELETE',
    url: '/tenants/:id',
    config: { access: 'admin', tenants: 'path' },
    schema: {
      tags: TAGS,
      operationId: 'removeTenant',
      summary: 'Remove a tenant; its connections end at their next transaction boundary',
      params: idParams,
      querystring: changeQuery,
      headers: changeHeaders,
      response: removalResponses(404, 412, 428),
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const current = findTenant(write.scope.tenants, request.params.id);
        const command = { kind: 'remove_tenant', id: current.config.id } as const;
        const { position } = handle(write, command, current);
        return { status: 204, headers: {}, body: null, position };
      }),
  });
}
