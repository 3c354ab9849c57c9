/**
 * Events on the bus, exactly as stored: secrets sealed, hashes included. For control planes only.
 * A message is one event, or several that belong together, with what their senders were answered:
 * a control plane that takes over must know a request again that comes a second time.
 */
import { z } from 'zod';
import type { StoredEvent } from '../store/event.ts';
import type { KeptAnswer } from '../store/kept-answers.ts';

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

const keptAnswerSchema = z.strictObject({
  actor: z.string(),
  key: z.string(),
  fingerprint: z.string(),
  status: z.int(),
  headers: z.record(z.string(), z.string()),
  body: z.string().nullable(),
  position: z.int().min(0),
});

const severalSchema = z.strictObject({
  events: z.array(storedEventSchema).min(1),
  answers: z.array(keptAnswerSchema),
});

export interface EventMessage {
  /** At least one, each directly behind the other. */
  readonly events: readonly StoredEvent[];
  readonly answers: readonly KeptAnswer[];
}

export function encodeEvent(event: StoredEvent): Uint8Array {
  return Buffer.from(JSON.stringify(event));
}

export function encodeEventMessage({ events, answers }: EventMessage): Uint8Array {
  const [first] = events;
  if (events.length === 1 && answers.length === 0 && first !== undefined) return encodeEvent(first);
  return Buffer.from(JSON.stringify({ events, answers }));
}

/** @throws ZodError or SyntaxError when the message holds no events. */
export function decodeEventMessage(data: Uint8Array): EventMessage {
  const content: unknown = JSON.parse(Buffer.from(data).toString('utf8'));
  const isSeveral = typeof content === 'object' && content !== null && 'events' in content;
  if (isSeveral) return severalSchema.parse(content);
  return { events: [storedEventSchema.parse(content)], answers: [] };
}

/** The last event of a message. @throws as `decodeEventMessage` */
export function lastEventIn(data: Uint8Array): StoredEvent {
  const last = decodeEventMessage(data).events.at(-1);
  if (last === undefined) throw new SyntaxError('a message holds at least one event');
  return last;
}
