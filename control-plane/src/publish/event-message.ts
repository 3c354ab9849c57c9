/**
 * An event on the bus, exactly as stored: secrets sealed, hashes included. For control planes only.
 */
import { z } from 'zod';
import type { StoredEvent } from '../store/event.ts';

const storedEventSchema = z.strictObject({
  position: z.int().min(1),
  stream: z.string(),
  streamVersion: z.int().min(1),
  type: z.string(),
  data: z.record(z.string(), z.json()),
  actor: z.string(),
  reason: z.string().nullable(),
  requestId: z.string(),
  occurredAt: z.string(),
  epoch: z.int().min(1),
  prevHash: z.hex().length(64),
  hash: z.hex().length(64),
});

export function encodeEvent(event: StoredEvent): Uint8Array {
  return Buffer.from(JSON.stringify(event));
}

/** @throws ZodError or SyntaxError when the message is not an event. */
export function decodeEventMessage(data: Uint8Array): StoredEvent {
  return storedEventSchema.parse(JSON.parse(Buffer.from(data).toString('utf8')));
}
