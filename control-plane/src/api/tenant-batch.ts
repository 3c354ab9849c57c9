/**
 * POST /tenants:batch: many changes of tenants as one, all or none.
 * Owns: the form of a batch, its limits, telling which operation failed and why. Leaves: each
 * operation to the same commands as the routes of one tenant, one transaction to writes/.
 */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { DELTA_LIMITS, encodeDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { ConfigDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import {
  newTenantConfig,
  replaceTenantConfig,
  toTenantChanges,
} from '@dbbouncer/shared/contract/tenant-conversion.ts';
import { TENANT_OPERATIONS } from '@dbbouncer/shared/contract/tenant-operations.ts';
import {
  tenantCreateSchema,
  tenantPatchSchema,
  tenantReplaceSchema,
} from '@dbbouncer/shared/contract/tenant-resource.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { MakeSecret } from '@dbbouncer/shared/contract/secret.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantResult } from '../commands/commands.ts';
import type { TenantCommand } from '../domain/tenant/commands.ts';
import { requireReach, requireScope } from './access.ts';
import { apiErrors, invalidField, requireEachDone } from './api-errors.ts';
import type { Failed } from './api-errors.ts';
import type { Precondition } from './preconditions.ts';
import { reasonField, withReason, writeHeaders } from './request-meta.ts';
import type { Api } from './zod-api.ts';
import { GivenSecrets } from './sent-secrets.ts';
import type { ApiServices } from './services.ts';
import { findTenant, handle, requireSameId, secretMaker } from './tenant-requests.ts';
import type { Write, WriteAnswer } from './writes/write.ts';
import { tenantChangeQuery } from './writes/write-options.ts';
import { writeResponses } from './writes/write-responses.ts';

export const BATCH_LIMITS = Object.freeze({
  /** At most two events come of each, so that all of them fit one delta. */
  operationsMax: 200,
  bodyBytesMax: 1_048_576,
});

const target = {
  id: z.string().min(1),
  if_match: z
    .string()
    .optional()
    .meta({
      description:
        'An ETag: the batch is done only if this tenant is still at that version. The first' +
        ' update, replace or delete of a tenant needs it, unless the batch creates the tenant' +
        ' or ?force=true is said.',
    }),
};

const OPS = ['create', 'update', 'replace', 'delete', ...TENANT_OPERATIONS] as const;

const operationSchema = z.discriminatedUnion(
  'op',
  [
    z.strictObject({
      op: z.literal('create'),
      id: tenantCreateSchema.shape.id,
      body: tenantCreateSchema.partial({ id: true }),
    }),
    z.strictObject({ op: z.literal('update'), ...target, body: tenantPatchSchema }),
    z.strictObject({ op: z.literal('replace'), ...target, body: tenantReplaceSchema }),
    z.strictObject({ op: z.enum(['delete', ...TENANT_OPERATIONS]), ...target }),
  ],
  {
    error: ({ code }) =>
      code === 'invalid_union'
        ? `must be ${OPS.map((op) => JSON.stringify(op)).join(' or ')}`
        : undefined,
  },
);
type Operation = z.infer<typeof operationSchema>;

/** What a request of its own would do with PUT, PATCH or DELETE. */
const OVERWRITES: ReadonlySet<string> = new Set(['update', 'replace', 'delete']);

const batchSchema = z.strictObject({
  operations: z
    .array(operationSchema)
    .min(1)
    .max(BATCH_LIMITS.operationsMax)
    .meta({ description: 'Each sees what those before it did.' }),
  reason: reasonField,
});

const batchAnswerSchema = z
  .strictObject({
    position: z.int().meta({ description: 'Of the last event.' }),
    results: z
      .array(
        z.strictObject({
          op: z.enum(OPS),
          id: z.string(),
          version: z.int().nullable().meta({ description: 'The new ETag; null once removed.' }),
          changed: z.boolean(),
        }),
      )
      .meta({ description: 'In the order of the operations.' }),
  })
  .meta({ id: 'BatchDone' });

export function registerTenantBatch(api: Api, services: ApiServices): void {
  api.route({
    method: 'POST',
    // The router's way to write one colon.
    url: '/tenants::batch',
    config: { access: 'operator', tenants: 'handler' },
    bodyLimit: Math.max(BATCH_LIMITS.bodyBytesMax, services.limits.apiBodyBytesMax),
    schema: {
      tags: ['Tenants'],
      operationId: 'changeTenants',
      summary: 'Make up to 200 changes of tenants as one, all or none',
      description:
        'Proxies are told of all of it at once and swap once. When an operation is refused,' +
        ' nothing is changed, and `errors` names each that is, by its place in the list.',
      querystring: tenantChangeQuery,
      headers: writeHeaders,
      body: batchSchema,
      response: writeResponses(200, batchAnswerSchema, 409, 424),
    },
    handler: (request, reply) => {
      const { operations, reason } = request.body;
      for (const operation of operations) requireAllowed(request, operation);
      return services.writes.perform(request, reply, (write) => {
        const meta = withReason(write.meta, reason);
        return doAll(services, request, { ...write, meta }, operations);
      });
    },
  });
}

/** As for the route of each alone. @throws SCOPE_MISSING, TENANT_OUT_OF_REACH */
function requireAllowed(request: FastifyRequest, { op, id }: Operation): void {
  requireScope(request, op === 'create' || op === 'delete' ? 'admin' : 'operator');
  requireReach(request, id);
}

/** @throws BATCH_REFUSED, or VALIDATION_FAILED when nothing but values are wrong */
function doAll(
  services: ApiServices,
  request: FastifyRequest,
  write: Write,
  operations: readonly Operation[],
): WriteAnswer {
  if (write.precondition.ifMatch !== undefined) {
    throw invalidField('If-Match', 'names no version of a batch: give each operation its if_match');
  }
  const failures: Failed[] = [];
  const known = new Set<string>();
  const results: z.infer<typeof batchAnswerSchema>['results'] = [];
  let position = 0;
  for (const [index, operation] of operations.entries()) {
    try {
      const precondition = operationPrecondition(write.precondition, operation, known);
      const result = doOne(services, request, { ...write, precondition }, operation);
      position = Math.max(position, result.position);
      results.push(result.told);
    } catch (error) {
      if (!(error instanceof AppError) || error.kind !== 'client') throw error;
      failures.push({ path: `operations[${index}]`, error });
    }
  }
  requireEachDone(failures, operations.length);
  requireOneDelta(write.scope.changes().delta);
  return { status: 200, headers: {}, body: { position, results }, position };
}

/**
 * As of a request of its own. Who has said once which version of a tenant is meant, or creates it,
 * knows what the batch makes of it.
 * @param known the keys of those tenants; gets this one when it is said here.
 */
function operationPrecondition(
  given: Precondition,
  operation: Operation,
  known: Set<string>,
): Precondition {
  const key = tenantKey(operation.id);
  const ifMatch = operation.op === 'create' ? undefined : operation.if_match;
  const mustName = OVERWRITES.has(operation.op) && !known.has(key);
  if (operation.op === 'create' || ifMatch !== undefined) known.add(key);
  const version = given.version === 'optional' && mustName ? 'required' : given.version;
  return { ...given, ifMatch, version, field: 'if_match' };
}

function doOne(services: ApiServices, request: FastifyRequest, write: Write, operation: Operation) {
  const done =
    operation.op === 'create'
      ? handle(write, registration(services, operation))
      : changeOne(services, request, write, operation);
  const { view, version, events, position } = done;
  const told = {
    op: operation.op,
    id: view?.config.id ?? operation.id,
    version: view === undefined ? null : version,
    changed: events.length > 0,
  };
  return { told, position };
}

type Creation = Extract<Operation, { op: 'create' }>;
type Change = Exclude<Operation, Creation>;

function registration(services: ApiServices, { id, body }: Creation): TenantCommand {
  requireSameId(id, body.id);
  const tenant = newTenantConfig(id, body, secretMaker(services, id));
  return { kind: 'register_tenant', tenant, origin: 'api' };
}

function changeOne(
  services: ApiServices,
  request: FastifyRequest,
  write: Write,
  operation: Change,
): TenantResult {
  const current = findTenant(write.scope.tenants, operation.id);
  const { config } = current;
  const given = new GivenSecrets(secretMaker(services, config.id));
  const done = handle(write, commandOf(operation, config, given.make), current);
  if (done.view !== undefined) given.requireEnough(request, config, done.view.config);
  return done;
}

function commandOf(operation: Change, config: TenantConfig, makeSecret: MakeSecret): TenantCommand {
  const { id } = config;
  switch (operation.op) {
    case 'update':
      requireSameId(id, operation.body.id);
      return {
        kind: 'update_tenant',
        id,
        changes: toTenantChanges(config, operation.body, makeSecret),
      };
    case 'replace':
      requireSameId(id, operation.body.id);
      return {
        kind: 'replace_tenant',
        tenant: replaceTenantConfig(config, operation.body, makeSecret),
      };
    case 'delete':
      return { kind: 'remove_tenant', id };
    case 'pause':
    case 'resume':
    case 'drain':
    case 'reconnect':
    case 'kill':
      return { kind: 'operate_tenant', id, operation: operation.op };
    default:
      return unreachable(operation);
  }
}

/** @throws BATCH_TOO_LARGE: proxies could not be told of all of it at once. */
function requireOneDelta(delta: ConfigDelta): void {
  const bytes = Buffer.byteLength(encodeDelta(delta));
  const { bytesMax } = DELTA_LIMITS;
  if (bytes <= bytesMax) return;
  throw apiErrors.fail(
    'BATCH_TOO_LARGE',
    `The changed tenants have ${bytes} bytes together; proxies can be told ${bytesMax} at once.`,
    { hint: 'Divide the batch.' },
  );
}
