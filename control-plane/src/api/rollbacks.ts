/**
 * The routes that put things back: a tenant to what it was, a removed one, the whole config.
 * Nothing is taken out of the log: each is a change like any other, with who and why.
 * Leaves: the rules to the core, what was to its past, old secrets to renew-secrets.ts.
 */
import { z } from 'zod';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { toTimestamp } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantResult } from '../commands/commands.ts';
import { serverKeyOfStream } from '../domain/server/events.ts';
import { tenantKeyOfStream } from '../domain/tenant/events.ts';
import type { StoredEvent } from '../store/event.ts';
import { tenantAnswerSchema, toTenantAnswer } from './answers.ts';
import { requireScope } from './access.ts';
import { invalidField } from './api-errors.ts';
import { etagOf, expectedVersion } from './preconditions.ts';
import { renewSecrets } from './renew-secrets.ts';
import { reasonBody, reasonField, withReason, writeHeaders } from './request-meta.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';
import { canaryCare, idParams } from './tenant-requests.ts';
import type { Write, WriteAnswer } from './writes/write.ts';
import { tenantChangeQuery, tenantQuery, writeQuery } from './writes/write-options.ts';
import { writeResponses } from './writes/write-responses.ts';

const TAGS = ['Putting back'];
const WHEN = 'a position of the log, or a time with its offset such as 2026-01-31T12:00:00Z';

const whenSchema = z
  .union([z.int().min(0), z.string()], { error: `must be ${WHEN}` })
  .meta({ description: `As of when: ${WHEN}.`, examples: [42, '2026-01-31T12:00:00Z'] });
const rollbackBody = z.strictObject({ to: whenSchema, reason: reasonField });

const outcomeSchema = z.enum(['rolled_back', 'restored', 'unchanged']).meta({
  description: 'unchanged: it is as it was then, and nothing was written.',
});
type Outcome = z.infer<typeof outcomeSchema>;

const tenantRollbackSchema = z
  .strictObject({
    ...tenantAnswerSchema.shape,
    outcome: outcomeSchema,
    to: z.int().meta({ description: 'The position whose state it has again.' }),
  })
  .meta({ id: 'TenantRollback' });

const configRollbackSchema = z
  .strictObject({
    outcome: outcomeSchema.exclude(['restored']),
    to: z.int(),
    position: z.int().meta({ description: 'The last event of the log afterwards.' }),
    defaults: outcomeSchema.exclude(['restored']),
    servers: z
      .strictObject({ set: z.array(z.string()), removed: z.array(z.string()) })
      .meta({ description: 'Database servers that were changed, by their names in lower case.' }),
    tenants: z
      .strictObject({
        rolled_back: z.array(z.string()),
        restored: z.array(z.string()),
        removed: z.array(z.string()),
      })
      .meta({ description: 'Those that were changed, by their ids in lower case.' }),
  })
  .meta({ id: 'ConfigRollback' });

export function registerRollbacks(api: Api, services: ApiServices): void {
  registerTenantRollback(api, services);
  registerRestore(api, services);
  registerConfigRollback(api, services);
}

function registerTenantRollback(api: Api, services: ApiServices): void {
  const { core, writes } = services;
  api.route({
    method: 'POST',
    url: '/tenants/:id/rollback',
    config: { access: 'operator', tenants: 'path' },
    schema: {
      tags: TAGS,
      operationId: 'rollBackTenant',
      summary: 'Give a tenant all the settings it had at a position or time',
      description:
        'Its password is that of then, too; a pause or drain of now stays. A tenant that was' +
        ' removed since is brought back, for a key of scope admin, and so is one that spoke' +
        ' another protocol then. What it would be must agree with the rules and defaults of now.' +
        ' The config file leaves it so until its entry for the tenant changes.',
      params: idParams,
      querystring: tenantChangeQuery,
      headers: writeHeaders,
      body: rollbackBody,
      response: writeResponses(200, tenantRollbackSchema, 404, 409, 412, 424),
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const id = request.params.id as TenantId;
        const to = positionOf(services, request.body.to);
        const current = write.scope.tenants.getTenant(id);
        // A tenant comes and goes by the hand of an admin alone.
        if (current === undefined) requireScope(request, 'admin');
        const { was, last } = core.past.tenant(id, to);
        const past = { was: usable(services, was), last };
        const command = { kind: 'roll_back_tenant', id, to, past } as const;
        const done = write.scope.handle(command, {
          ...withReason(write.meta, request.body.reason),
          whileCanary: canaryCare(write),
          expectedVersion: current && expectedVersion(write.precondition, current),
        });
        if (done.events.some(({ type }) => COMES_OR_GOES.has(type))) requireScope(request, 'admin');
        return answerOf(write, services, done, to);
      }),
  });
}

/** What becomes of a tenant that is there when what it was then spoke another protocol. */
const COMES_OR_GOES: ReadonlySet<string> = new Set(['TenantRemoved', 'TenantRestored']);

function registerRestore(api: Api, services: ApiServices): void {
  const { core, writes } = services;
  api.route({
    method: 'POST',
    url: '/tenants/:id/restore',
    config: { access: 'admin', tenants: 'path' },
    schema: {
      tags: TAGS,
      operationId: 'restoreTenant',
      summary: 'Bring a removed tenant back as it was when it was removed',
      description: 'With its password and users, and paused if it was paused.',
      params: idParams,
      querystring: tenantQuery,
      headers: writeHeaders,
      body: reasonBody,
      response: writeResponses(200, tenantRollbackSchema, 404, 409, 412, 424),
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const id = request.params.id as TenantId;
        const { was, last, version } = core.past.tenant(id, core.status().position);
        const tenant = usable(services, last?.tenant);
        const past = { was, last: last && tenant && { ...last, tenant } };
        const command = { kind: 'restore_tenant', id, past } as const;
        const done = write.scope.handle(command, {
          ...withReason(write.meta, request.body?.reason),
          // What was last there is so only as long as nothing else has happened to it.
          expectedVersion: version,
        });
        assert(past.last !== undefined, 'what is restored was there');
        return answerOf(write, services, done, past.last.position);
      }),
  });
}

function registerConfigRollback(api: Api, services: ApiServices): void {
  const { keyring, writes } = services;
  api.route({
    method: 'POST',
    url: '/config/rollback',
    config: { access: 'admin', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'rollBackConfig',
      summary:
        'Give all tenants, servers and the defaults the settings they had at a position or time',
      description:
        'All of it or none. Tenants and servers of since are removed, those removed since come' +
        ' back. API keys are not touched. Proxies are told in one delta, or in several if more' +
        ' than 500 events or 768 KiB are needed.',
      querystring: writeQuery,
      headers: writeHeaders,
      body: rollbackBody,
      response: writeResponses(200, configRollbackSchema, 409),
    },
    handler: (request, reply) =>
      writes.perform(request, reply, (write) => {
        const to = positionOf(services, request.body.to);
        const { position, events } = write.scope.rollBackConfig(
          { to, renew: (then, present) => renewSecrets(keyring, then, present) },
          withReason(write.meta, request.body.reason),
        );
        const body = { to, position, ...changesOf(events) };
        return { status: 200, headers: {}, body, position };
      }),
  });
}

/** The tenant that is there again, with its ETag and what became of it. */
function answerOf(
  { scope }: Write,
  { core }: ApiServices,
  { view, events, position }: TenantResult,
  to: Position,
): WriteAnswer {
  assert(view !== undefined, 'only a removal leaves no view');
  const tenant = toTenantAnswer(view, scope.tenants.getDefaults().defaults, core.fleet);
  const headers = { etag: etagOf(view.version) };
  const body = { ...tenant, outcome: outcomeOf(events), to };
  return { status: 200, headers, body, position, tenant: view.config };
}

/** @throws VALIDATION_FAILED when it is neither, or has not come yet. */
function positionOf({ core }: ApiServices, when: number | string): Position {
  const head = core.status().position;
  const position = /^\d{1,15}$/.test(String(when)) ? Number(when) : undefined;
  if (position !== undefined && position > head) {
    throw invalidField('to', `is position ${position}; the log ends at ${head}`);
  }
  if (position !== undefined) return position;
  const time = toTimestamp(String(when));
  if (time !== undefined) return core.past.positionAt(time);
  throw invalidField('to', `must be ${WHEN}; got ${JSON.stringify(when).slice(0, 60)}`);
}

/** A tenant of the past with secrets that open today. @throws SECRET_UNAVAILABLE */
function usable({ core, keyring }: ApiServices, tenant: TenantConfig | undefined) {
  const present = tenant && core.tenants.getTenant(tenant.id)?.config;
  return tenant && renewSecrets(keyring, tenant, present);
}

const OUTCOMES: Readonly<Record<string, Exclude<Outcome, 'unchanged'> | 'removed'>> = {
  TenantRolledBack: 'rolled_back',
  TenantRestored: 'restored',
  TenantRemoved: 'removed',
};

/** What became of the one tenant that the events are about. */
function outcomeOf(events: readonly StoredEvent[]): Outcome {
  const outcome = OUTCOMES[events.at(-1)?.type ?? ''];
  return outcome === undefined || outcome === 'removed' ? 'unchanged' : outcome;
}

function changesOf(events: readonly StoredEvent[]) {
  const last = new Map<string, string | undefined>();
  const servers = new Map<string, string>();
  for (const { stream, type } of events) {
    const key = tenantKeyOfStream(stream);
    if (key !== undefined) last.set(key, OUTCOMES[type]);
    const server = serverKeyOfStream(stream);
    if (server !== undefined) servers.set(server, type);
  }
  const serversWith = (type: string) =>
    [...servers].filter(([, own]) => own === type).map(([key]) => key);
  const idsOf = (outcome: string) =>
    [...last].filter(([, own]) => own === outcome).map(([key]) => key);
  const hasDefaults = events.some(({ type }) => type === 'DefaultsChanged');
  return {
    outcome: events.length > 0 ? ('rolled_back' as const) : ('unchanged' as const),
    defaults: hasDefaults ? ('rolled_back' as const) : ('unchanged' as const),
    servers: { set: serversWith('ServerSet'), removed: serversWith('ServerRemoved') },
    tenants: {
      rolled_back: idsOf('rolled_back'),
      restored: idsOf('restored'),
      removed: idsOf('removed'),
    },
  };
}
