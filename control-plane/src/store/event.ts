/** An event as the log holds it. */
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { JsonObject } from './canonical-json.ts';

/** Who caused an event and on what occasion. */
export interface EventMeta {
  /** Name of the API key or part of the system that asked. */
  readonly actor: string;
  readonly reason?: string | undefined;
  readonly requestId: string;
}

export interface StoredEvent {
  readonly position: Position;
  readonly stream: string;
  /** From 1, without gaps within the stream. */
  readonly streamVersion: number;
  readonly type: string;
  readonly data: JsonObject;
  readonly actor: string;
  readonly reason: string | null;
  readonly requestId: string;
  readonly occurredAt: string;
  readonly epoch: number;
  /** Hash of the event before it, in lower-case hex; 64 zeros for the first. */
  readonly prevHash: string;
  readonly hash: string;
}
