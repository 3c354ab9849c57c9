/**
 * Events as the API shows them: what happened to whom, with everything that is secret left out.
 */
import { z } from 'zod';
import { tenantKeyOfStream } from '../domain/tenant/events.ts';
import type { StoredEvent } from '../store/event.ts';
import { redactedMembers } from './redacted.ts';

export const eventFields = {
  position: z.int().meta({ description: 'Its number in the log, from 1.', examples: [42] }),
  stream: z.string().meta({ description: 'What it happened to.', examples: ['tenant/acme'] }),
  tenant: z
    .string()
    .nullable()
    .meta({
      description: 'The id in lower case; null when it is not about one tenant.',
      examples: ['acme'],
    }),
  type: z.string().meta({ examples: ['TenantUpdated'] }),
  data: z.record(z.string(), z.unknown()).meta({
    description:
      'As stored, under the names the planes use. In the place of a secret stands where it is:' +
      ' "sealed", or its reference.',
    examples: [{ changes: { pool: { maxConnections: 20 } } }],
  }),
  actor: z.string().meta({
    description: 'Who asked: a key of the API, or the config file.',
    examples: ['api:1f0c9a3e'],
  }),
  reason: z.string().nullable(),
  request_id: z.string(),
  occurred_at: z.iso.datetime(),
  epoch: z.int().meta({ description: 'The term of the control plane that wrote it.' }),
  hash: z.string().meta({
    description: 'SHA-256 over the event as it is stored and the hash of the one before it.',
  }),
};

export const eventSchema = z.strictObject(eventFields).meta({ id: 'Event' });
export type EventAnswer = z.infer<typeof eventSchema>;

export const eventListSchema = z
  .strictObject({
    events: z.array(eventSchema),
    next_cursor: z.string().nullable().meta({ description: 'null on the last page.' }),
  })
  .meta({ id: 'EventList' });

export function toEventAnswer(event: StoredEvent): EventAnswer {
  return {
    position: event.position,
    stream: event.stream,
    tenant: tenantKeyOfStream(event.stream) ?? null,
    type: event.type,
    data: redactedMembers(event.data),
    actor: event.actor,
    reason: event.reason,
    request_id: event.requestId,
    occurred_at: event.occurredAt,
    epoch: event.epoch,
    hash: event.hash,
  };
}
