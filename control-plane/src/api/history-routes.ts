/**
 * What a tenant went through, the config as of any moment, and what differs between two of them.
 * Leaves: reading the log to history/.
 */
import { z } from 'zod';
import { poolAnswerSchema, toPoolAnswer } from '@dbbouncer/shared/contract/pool-settings.ts';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { controlErrors } from '../errors.ts';
import type { HistoryEntry, TenantDifference } from '../history/history.ts';
import { recordedTenantSchema, toRecordedTenant } from './answers.ts';
import { recordedServerSchema, toRecordedServer } from './database-servers.ts';
import type { ServerDifference } from '../history/server-history.ts';
import { decodePlace, encodeCursor } from './cursor.ts';
import { eventFields, toEventAnswer } from './event-answers.ts';
import { changesSchema } from './field-changes.ts';
import { cursorSchema, limitSchema, momentSchema, positionOf } from './event-requests.ts';
import { problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';
import { idParams } from './tenant-requests.ts';

const TAGS = ['History'];

const summarySchema = z.string().meta({
  description: 'One line for people.',
  examples: ['max_connections 10 -> 20, password changed'],
});
const nextCursorSchema = z.string().nullable().meta({ description: 'null on the last page.' });

const historySchema = z
  .strictObject({
    events: z.array(
      z.strictObject({
        ...eventFields,
        version: z.int().meta({ description: 'The ETag of the tenant after it.' }),
        summary: summarySchema,
        changes: changesSchema,
      }),
    ),
    next_cursor: nextCursorSchema,
  })
  .meta({ id: 'TenantHistory' });

const momentFields = {
  position: z.int().meta({ description: 'The last event that is in it; 0: none.' }),
  at: z.iso.datetime().nullable().meta({ description: 'When that was; null: before any event.' }),
};

const configSchema = z
  .strictObject({
    ...momentFields,
    defaults: poolAnswerSchema,
    servers: z.array(recordedServerSchema).meta({ description: 'Ordered by name.' }),
    tenants: z.array(recordedTenantSchema).meta({ description: 'Ordered by id.' }),
    next_cursor: nextCursorSchema,
  })
  .meta({ id: 'Config' });

const namedServerSchema = z.strictObject({ name: z.string(), changes: changesSchema });
const namedSchema = z.strictObject({ id: z.string(), summary: summarySchema });

const diffSchema = z
  .strictObject({
    from: z.strictObject(momentFields),
    to: z.strictObject(momentFields),
    defaults: changesSchema,
    servers: z.strictObject({
      added: z.array(namedServerSchema),
      removed: z.array(namedServerSchema.pick({ name: true })),
      changed: z.array(namedServerSchema),
    }),
    tenants: z.strictObject({
      added: z.array(namedSchema.extend({ changes: changesSchema })),
      removed: z.array(namedSchema),
      changed: z.array(namedSchema.extend({ changes: changesSchema })),
    }),
    next_cursor: nextCursorSchema,
  })
  .meta({ id: 'ConfigDiff' });

export function registerHistoryRoutes(api: Api, services: ApiServices): void {
  registerTenantHistory(api, services);
  registerConfig(api, services);
  registerDiff(api, services);
}

function registerTenantHistory(api: Api, { core: { history } }: ApiServices): void {
  api.route({
    method: 'GET',
    url: '/tenants/:id/history',
    config: { access: 'viewer', tenants: 'path' },
    schema: {
      tags: TAGS,
      operationId: 'getTenantHistory',
      summary: 'What happened to a tenant, newest first, and what each event changed',
      description: 'Also of a tenant that has been removed.',
      params: idParams,
      querystring: z.strictObject({ limit: limitSchema, cursor: cursorSchema }),
      response: { 200: historySchema, ...problems(400, 404) },
    },
    handler: async ({ params: { id }, query: { limit, cursor } }) => {
      const before = cursor === undefined ? undefined : decodePlace(cursor, 1).numbers[0];
      const page = await history.ofTenant(id, { before, limit });
      if (page === undefined) {
        const message = `There never was a tenant ${JSON.stringify(id)}.`;
        throw controlErrors.fail('TENANT_NOT_FOUND', message);
      }
      return {
        events: page.entries.map(toEntryAnswer),
        next_cursor: encodeCursor(page.next === undefined ? undefined : String(page.next)),
      };
    },
  });
}

function registerConfig(api: Api, services: ApiServices): void {
  const { history } = services.core;
  api.route({
    method: 'GET',
    url: '/config',
    config: { access: 'viewer', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'getConfig',
      summary: 'The defaults, servers and tenants as of a position of the log or a time',
      description:
        'All pages of one reading are as of the same position, whatever happens in between.',
      querystring: z.strictObject({
        at: momentSchema.optional().meta({ description: 'Default: now.' }),
        limit: limitSchema,
        cursor: cursorSchema,
      }),
      response: { 200: configSchema, ...problems(400) },
    },
    handler: async ({ query: { at, limit, cursor } }) => {
      const place = cursor === undefined ? undefined : decodePlace(cursor, 1);
      const moment = place === undefined ? at : String(place.numbers[0]);
      const position = positionOf(history, place === undefined ? 'at' : 'cursor', moment);
      const page = await history.configAt(position, { after: place?.key, limit });
      return {
        ...momentOf(services, position),
        defaults: toPoolAnswer(page.defaults),
        servers: page.servers.map(toRecordedServer),
        tenants: page.tenants.map((view) => toRecordedTenant(view, page.defaults)),
        next_cursor: encodeCursor(page.next && `${position} ${page.next}`),
      };
    },
  });
}

function registerDiff(api: Api, services: ApiServices): void {
  const { history } = services.core;
  api.route({
    method: 'GET',
    url: '/config/diff',
    config: { access: 'viewer', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'diffConfig',
      summary: 'What differs between the config at two positions or times',
      description:
        'What has to change for the one to become the other. `from` may be the later one: that' +
        ' shows what going back would do. Tenants come in pages, by id over all three lists.',
      querystring: z.strictObject({
        from: momentSchema,
        to: momentSchema.optional().meta({ description: 'Default: now.' }),
        limit: limitSchema,
        cursor: cursorSchema,
      }),
      response: { 200: diffSchema, ...problems(400) },
    },
    handler: async ({ query: { from, to, limit, cursor } }) => {
      const place = cursor === undefined ? undefined : decodePlace(cursor, 2);
      const numbers = place?.numbers.map((number) => positionOf(history, 'cursor', String(number)));
      const [start, end] = numbers ?? [
        positionOf(history, 'from', from),
        positionOf(history, 'to', to),
      ];
      assert(start !== undefined && end !== undefined, 'such a cursor has two numbers');
      const page = await history.difference(start, end, { after: place?.key, limit });
      return {
        from: momentOf(services, start),
        to: momentOf(services, end),
        defaults: [...page.defaults],
        servers: toServerDifferences(page.servers),
        tenants: toDifferences(page.tenants),
        next_cursor: encodeCursor(page.next && `${start} ${end} ${page.next}`),
      };
    },
  });
}

function toEntryAnswer({ event, changes, summary }: HistoryEntry) {
  const version = event.streamVersion;
  return { ...toEventAnswer(event), version, summary, changes: [...changes] };
}

function toDifferences(differences: readonly TenantDifference[]) {
  const added: NamedChanges[] = [];
  const removed: Pick<NamedChanges, 'id' | 'summary'>[] = [];
  const changed: NamedChanges[] = [];
  for (const { before, after, changes, summary } of differences) {
    if (after === undefined) removed.push({ id: before?.config.id ?? '', summary });
    else {
      const list = before === undefined ? added : changed;
      list.push({ id: after.config.id, summary, changes: [...changes] });
    }
  }
  return { added, removed, changed };
}

function toServerDifferences(differences: readonly ServerDifference[]) {
  const named = differences.map(({ before, after, changes }) => ({
    name: (after ?? before)?.server.name ?? '',
    changes: [...changes],
    kind: before === undefined ? 'added' : after === undefined ? 'removed' : 'changed',
  }));
  const those = (wanted: string) =>
    named.filter(({ kind }) => kind === wanted).map(({ name, changes }) => ({ name, changes }));
  return {
    added: those('added'),
    removed: those('removed').map(({ name }) => ({ name })),
    changed: those('changed'),
  };
}

interface NamedChanges {
  readonly id: string;
  readonly summary: string;
  readonly changes: z.infer<typeof changesSchema>;
}

function momentOf({ core: { history } }: ApiServices, position: Position) {
  return { position, at: history.event(position)?.occurredAt ?? null };
}
