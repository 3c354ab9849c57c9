/**
 * The routes that operate on a tenant's traffic: pause, resume, drain, reconnect, kill. Each is an
 * event like any change, so it reaches every proxy and outlives all of them.
 * Leaves: what is allowed when to the core, what happens to proxies.
 */
import { TENANT_OPERATIONS } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { TenantOperation } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { z } from 'zod';
import { tenantAnswerSchema } from './answers.ts';
import { problems } from './route-docs.ts';
import { reasonBody, withReason, writeHeaders } from './request-meta.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';
import { change, findTenant, idParams, requireTenant } from './tenant-requests.ts';
import { tenantProgressSchema, toTenantProgress } from './tenant-stats.ts';
import { writeQuery } from './writes/write-options.ts';
import { writeResponses } from './writes/write-responses.ts';

const TAGS = ['Tenants'];

const operatedSchema = tenantAnswerSchema
  .extend({
    progress: tenantProgressSchema.meta({
      description:
        'How far it had come at the time of the answer; GET /tenants/{id}/progress goes on from' +
        ' there.',
    }),
  })
  .meta({ id: 'OperatedTenant' });

interface Words {
  readonly summary: string;
  readonly description: string;
}

const WORDS: Readonly<Record<TenantOperation, Words>> = Object.freeze({
  pause: {
    summary: 'Keep the clients of a tenant waiting, and close its server connections',
    description:
      'Transactions under way finish; no other begins until the tenant is resumed. Who waits is' +
      ' told after pause_wait_timeout. Clients can log in. In session mode, and for sessions that' +
      ' are bound to their server connection, a connection closes when its client leaves.' +
      ' Pausing a paused tenant changes nothing; one that is being drained must be resumed first.',
  },
  resume: {
    summary: 'Serve the clients of a tenant again, after a pause or a drain',
    description: 'Who waits is served at once. Resuming a tenant that is served changes nothing.',
  },
  drain: {
    summary: 'Send the clients of a tenant away, each between two transactions',
    description:
      'New logins read 57P03, sessions end with 57P01 as soon as they are between transactions,' +
      ' then the server connections close. It holds until the tenant is resumed; what has not' +
      ' ended by then goes on.',
  },
  reconnect: {
    summary: 'Replace every server connection of a tenant, without ending a client',
    description:
      'What begins from now on has a connection opened from now on; those of before close as' +
      ' soon as their transactions are over. Each request asks for new connections again.',
  },
  kill: {
    summary: 'End every client of a tenant now',
    description:
      'Clients read 57P01, their statements are cancelled, their transactions rolled back. Who' +
      ' connects afterwards is served. Each request ends the clients of its moment.',
  },
});

export function registerTenantOperations(api: Api, services: ApiServices): void {
  for (const operation of TENANT_OPERATIONS) registerOperation(api, services, operation);
  api.route({
    method: 'GET',
    url: '/tenants/:id/progress',
    config: { access: 'viewer', tenants: 'path' },
    schema: {
      tags: TAGS,
      operationId: 'getTenantProgress',
      summary: 'How far the last pause, drain, resume or reconnect of a tenant is on each proxy',
      params: idParams,
      querystring: z.strictObject({}),
      response: { 200: tenantProgressSchema, ...problems(404) },
    },
    handler: ({ params }) =>
      toTenantProgress(requireTenant(services, params.id), services.core.fleet),
  });
}

function registerOperation(api: Api, services: ApiServices, operation: TenantOperation): void {
  const { writes, core } = services;
  api.route({
    method: 'POST',
    url: `/tenants/:id/${operation}`,
    config: { access: 'operator', tenants: 'path' },
    schema: {
      tags: TAGS,
      operationId: `${operation}Tenant`,
      ...WORDS[operation],
      params: idParams,
      querystring: writeQuery,
      headers: writeHeaders,
      body: reasonBody,
      response: writeResponses(200, operatedSchema, 404, 409, 412),
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const current = findTenant(write.scope.tenants, request.params.id);
        const command = { kind: 'operate_tenant', id: current.config.id, operation } as const;
        const meta = withReason(write.meta, request.body?.reason);
        const done = change({ ...write, meta }, core.fleet, command, current);
        const view = findTenant(write.scope.tenants, current.config.id);
        const progress = () => ({ progress: toTenantProgress(view, core.fleet) });
        return { ...done, body: { ...done.body, ...progress() }, now: progress };
      }),
  });
}
