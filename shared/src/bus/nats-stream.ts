/**
 * One JetStream stream: made when it is missing, used as it is when it exists (an operator may have
 * tuned it).
 * Source: NATS documentation, "JetStream / Streams".
 */
import { JetStreamApiCodes, JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import type { JetStreamManager, StreamInfo } from '@nats-io/jetstream';
import { DiscardPolicy, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import { nanos, NoRespondersError } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from '../kernel/log.ts';
import { BUS_LIMITS } from './bus.ts';
import type { LogSpec } from './bus.ts';

/** How long one call of the server's JetStream API may take. */
export const API_TIMEOUT_MS = 2_500;

const STREAM_NAME_IN_USE = 10058;

export function openManager(connection: NatsConnection): Promise<JetStreamManager> {
  return jetstreamManager(connection, { checkAPI: false, timeout: API_TIMEOUT_MS });
}

/** What the server says of the stream; made first when there is none. */
export async function ensureStream(
  manager: JetStreamManager,
  spec: LogSpec,
  replicas: number,
  log: Logger,
): Promise<StreamInfo> {
  try {
    return await manager.streams.info(spec.stream);
  } catch (error) {
    if (!isApiError(error, JetStreamApiCodes.StreamNotFound)) throw error;
  }
  try {
    const info = await manager.streams.add({
      name: spec.stream,
      subjects: [spec.subject],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      max_msgs: spec.messagesMax ?? -1,
      duplicate_window: nanos(BUS_LIMITS.duplicateWindowMs),
      num_replicas: replicas,
    });
    log.info({ stream: spec.stream, replicas }, 'NATS stream made');
    return info;
  } catch (error) {
    // Somebody else made it meanwhile, with other limits.
    if (isApiError(error, STREAM_NAME_IN_USE)) return await manager.streams.info(spec.stream);
    throw error;
  }
}

export function isApiError(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}

/** Whether a write was to follow on something else than what is there. */
export function isOutOfSequence(error: unknown): boolean {
  return (
    isApiError(error, JetStreamApiCodes.StreamWrongLastSequence) ||
    isApiError(error, JetStreamApiCodes.StreamWrongLastSequenceUnknown)
  );
}

/** Whether nothing listens where a request went: no such stream, or a server without JetStream. */
export function isUnheard(error: unknown): boolean {
  if (error instanceof NoRespondersError) return true;
  return error instanceof Error && error.cause !== undefined && isUnheard(error.cause);
}
