/** Every event there is, and how a stored one becomes one of them again. */
import { z } from 'zod';
import { apiKeyEventSchema } from './api-key/events.ts';
import type { ApiKeyEvent } from './api-key/events.ts';
import { defaultsEventSchema } from './defaults/events.ts';
import type { DefaultsEvent } from './defaults/events.ts';
import { serverEventSchema } from './server/events.ts';
import type { ServerEvent } from './server/events.ts';
import { termEventSchema } from './term/events.ts';
import type { TermEvent } from './term/events.ts';
import { tenantEventSchema } from './tenant/events.ts';
import type { TenantEvent } from './tenant/events.ts';

export const domainEventSchema = z.discriminatedUnion('type', [
  tenantEventSchema,
  defaultsEventSchema,
  serverEventSchema,
  apiKeyEventSchema,
  termEventSchema,
]);
export type DomainEvent = z.infer<typeof domainEventSchema>;

/** The types of all events there are. */
export const EVENT_TYPES: readonly string[] = Object.freeze(typesIn(domainEventSchema));

function typesIn(schema: z.core.$ZodType): readonly string[] {
  if (schema instanceof z.ZodDiscriminatedUnion) return schema.options.flatMap(typesIn);
  const type: unknown = schema instanceof z.ZodObject ? schema.shape['type'] : undefined;
  return type instanceof z.ZodLiteral ? [...type.values].map(String) : [];
}

/** @throws ZodError when the stored event is of no known type or shape. */
export function decodeEvent(stored: {
  readonly type: string;
  readonly data: unknown;
}): DomainEvent {
  return domainEventSchema.parse({ type: stored.type, data: stored.data });
}

export function isDefaultsEvent(event: DomainEvent): event is DefaultsEvent {
  return event.type === 'DefaultsChanged';
}

export function isApiKeyEvent(event: DomainEvent): event is ApiKeyEvent {
  return event.type.startsWith('ApiKey');
}

export function isServerEvent(event: DomainEvent): event is ServerEvent {
  return event.type === 'ServerSet' || event.type === 'ServerRemoved';
}

export function isTermEvent(event: DomainEvent): event is TermEvent {
  return event.type === 'TermBegun';
}

export function isTenantEvent(event: DomainEvent): event is TenantEvent {
  const isOther = isDefaultsEvent(event) || isApiKeyEvent(event) || isServerEvent(event);
  return !isOther && !isTermEvent(event);
}
