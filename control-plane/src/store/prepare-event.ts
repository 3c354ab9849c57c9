/**
 * From a decided event to the record that is stored: validated, numbered, stamped, chained. Both
 * adapters use it.
 */
import { controlErrors } from '../errors.ts';
import { domainEventSchema } from '../domain/domain-event.ts';
import type { DomainEvent } from '../domain/domain-event.ts';
import { canonicalJson } from './canonical-json.ts';
import type { JsonObject } from './canonical-json.ts';
import type { EventMeta, StoredEvent } from './event.ts';
import type { ExpectedVersion } from './event-store.ts';
import { hashRecord } from './hash-chain.ts';

/** Small enough that a delta with any one event's tenant fits into a bus message. */
export const EVENT_BYTES_MAX = 128 * 1024;

/** An event as it is stored, and the text its data is stored as. */
export interface PreparedEvent {
  readonly event: StoredEvent;
  readonly dataText: string;
}

export interface EventPlace {
  readonly position: number;
  readonly stream: string;
  readonly streamVersion: number;
  readonly occurredAt: string;
  readonly epoch: number;
  readonly prevHash: string;
}

/**
 * @throws VALIDATION_FAILED when the event has not the shape of its type or is above
 * EVENT_BYTES_MAX.
 */
export function prepareEvent(
  event: DomainEvent,
  meta: EventMeta,
  place: EventPlace,
): PreparedEvent {
  const checked = domainEventSchema.safeParse(event);
  if (!checked.success) {
    throw controlErrors.fail('VALIDATION_FAILED', `${event.type} does not hold what it must.`, {
      detail: checked.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`).join('; '),
    });
  }
  const dataText = canonicalJson(checked.data.data);
  const bytes = Buffer.byteLength(dataText);
  if (bytes > EVENT_BYTES_MAX) {
    throw controlErrors.fail(
      'VALIDATION_FAILED',
      `The change has ${bytes} bytes; at most ${EVENT_BYTES_MAX} can be stored.`,
    );
  }
  const record = {
    ...place,
    type: event.type,
    // Parsed back, so that the record is exactly what a reader will get.
    data: JSON.parse(dataText) as JsonObject,
    actor: meta.actor,
    reason: meta.reason ?? null,
    requestId: meta.requestId,
  };
  const hash = hashRecord(record, dataText);
  return { event: Object.freeze({ ...record, hash }), dataText };
}

/** @throws VERSION_CONFLICT */
export function requireVersion(stream: string, expected: ExpectedVersion, actual: number): void {
  if (expected === 'any' || (expected === 'no-stream' ? 0 : expected) === actual) return;
  throw controlErrors.fail(
    'VERSION_CONFLICT',
    `"${stream}" is at version ${actual}, not at ${expected === 'no-stream' ? 0 : expected}.`,
  );
}
