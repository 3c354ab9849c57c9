/** Every event there is, and how a stored one becomes one of them again. */
import { z } from 'zod';
import { defaultsEventSchema } from './defaults/events.ts';
import { tenantEventSchema } from './tenant/events.ts';

export const domainEventSchema = z.discriminatedUnion('type', [
  tenantEventSchema,
  defaultsEventSchema,
]);
export type DomainEvent = z.infer<typeof domainEventSchema>;

/** @throws ZodError when the stored event is of no known type or shape. */
export function decodeEvent(stored: {
  readonly type: string;
  readonly data: unknown;
}): DomainEvent {
  return domainEventSchema.parse({ type: stored.type, data: stored.data });
}
