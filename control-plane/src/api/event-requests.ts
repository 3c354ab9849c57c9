/**
 * How a request says which events, which position and which time it means.
 */
import { z } from 'zod';
import { isServerName, SERVER_NAME_RULE } from '@dbbouncer/shared/contract/server-resource.ts';
import { toTimestamp } from '@dbbouncer/shared/kernel/clock.ts';
import { isTenantId, TENANT_ID_RULE } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { EVENT_TYPES } from '../domain/domain-event.ts';
import { serverStream } from '../domain/server/events.ts';
import { tenantStream } from '../domain/tenant/events.ts';
import type { History } from '../history/history.ts';
import type { EventFilter } from '../store/event-query.ts';
import { invalidField } from './api-errors.ts';

export const EVENTS_DEFAULT = 100;
export const EVENTS_MAX = 500;
const NAME_CHARS_MAX = 200;
const TIME_EXAMPLE = '2026-01-31T12:00:00Z';
const TIME_RULE = `a time with its offset, such as ${TIME_EXAMPLE}`;
const POSITION = /^\d{1,15}$/;

const positionSchema = z.coerce.number().int().min(0);

/** A time with its offset, which may be any. */
export const timeSchema = z
  .string()
  .refine((text) => toTimestamp(text) !== undefined, { error: `must be ${TIME_RULE}` })
  .meta({ format: 'date-time', examples: [TIME_EXAMPLE] });

const typeSchema = z.enum(EVENT_TYPES);

export const limitSchema = z.coerce.number().int().min(1).max(EVENTS_MAX).default(EVENTS_DEFAULT);
export const cursorSchema = z
  .string()
  .optional()
  .meta({ description: 'The next_cursor of the page before, with the same other parameters.' });

const filterFields = {
  tenant: z
    .string()
    .refine(isTenantId, { error: `must be ${TENANT_ID_RULE}` })
    .optional()
    .meta({ description: 'Of this tenant, whatever the case of its id.', examples: ['acme'] }),
  server: z
    .string()
    .refine(isServerName, { error: `must be ${SERVER_NAME_RULE}` })
    .optional()
    .meta({ description: 'Of this database server, whatever the case of its name.' }),
  type: z
    .union([typeSchema, z.array(typeSchema).max(EVENT_TYPES.length)], {
      error: `must be one of ${EVENT_TYPES.join(', ')}; it can be given several times`,
    })
    .optional()
    .meta({ description: 'Of this type, or of one of these when it is given several times.' }),
  actor: z
    .string()
    .min(1)
    .max(NAME_CHARS_MAX)
    .optional()
    .meta({ examples: ['api:1f0c9a3e'] }),
  request_id: z.string().min(1).max(NAME_CHARS_MAX).optional(),
  since: timeSchema.optional().meta({ description: 'At this time or later.' }),
  until: timeSchema.optional().meta({ description: 'Before this time.' }),
} as const;

export const eventsQuery = z.strictObject({
  ...filterFields,
  after: positionSchema.optional().meta({
    description: 'Only higher positions. A tail begins after it; without it, with what comes now.',
  }),
  before: positionSchema.optional().meta({ description: 'Only lower positions.' }),
  order: z.enum(['asc', 'desc']).default('asc').meta({ description: 'asc: oldest first.' }),
  limit: limitSchema,
  cursor: cursorSchema,
});
export type EventsQuery = Readonly<z.infer<typeof eventsQuery>>;

export function toEventFilter(query: EventsQuery): EventFilter {
  const { type, actor, request_id: requestId, since, until } = query;
  return {
    stream: streamOf(query),
    types: type === undefined ? undefined : [type].flat(),
    actor,
    requestId,
    since: since === undefined ? undefined : toTimestamp(since),
    until: until === undefined ? undefined : toTimestamp(until),
  };
}

/** @throws VALIDATION_FAILED: no event is about both. */
function streamOf({ tenant, server }: EventsQuery): string | undefined {
  if (server === undefined) return tenant === undefined ? undefined : tenantStream(tenant);
  if (tenant === undefined) return serverStream(server);
  throw invalidField('server', 'cannot be combined with tenant: no event is about both');
}

/** A position or a time. */
export const momentSchema = z
  .string()
  .refine((text) => POSITION.test(text) || toTimestamp(text) !== undefined, {
    error: `must be a position of the log, or ${TIME_RULE}`,
  })
  .meta({
    description: `A position of the log (0: before the first event), or ${TIME_RULE}.`,
    examples: ['42', TIME_EXAMPLE],
  });

/**
 * The position that a moment means; without one, that of the last event.
 * @throws VALIDATION_FAILED for a position that is not there yet.
 */
export function positionOf(history: History, name: string, moment: string | undefined): Position {
  const head = history.head();
  if (moment === undefined) return head;
  if (!POSITION.test(moment)) return history.positionAt(toTimestamp(moment) ?? '');
  const position = Number(moment);
  if (position <= head) return position;
  throw invalidField(name, `must be at most ${head}, the last position of the log; got ${moment}`);
}
