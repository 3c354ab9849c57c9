/**
 * Whether what is on the bus comes from this event log. A database restored from a backup gives
 * positions a second meaning: publishing on top of the first would lead proxies astray unnoticed.
 */
import type { LogMessage } from '@dbbouncer/shared/bus/bus.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { StoredEvent } from '../store/event.ts';
import type { EventReader } from '../store/event-store.ts';
import { lastEventIn } from './event-message.ts';

/** The bus holds another history than this log; an operator must decide which one is right. */
export class HistoryConflict extends Error {
  override readonly name = 'HistoryConflict';
}

/**
 * The event that the last one of a message is a copy of.
 * @throws HistoryConflict when it is not an event of this log.
 */
export function ownEventIn(message: LogMessage, log: EventReader): StoredEvent {
  const copy = readEvent(message);
  const [own] = log.readAll(copy.position - 1, 1);
  if (own === undefined) throw busIsAhead(copy.position, log.head());
  if (own.hash === copy.hash) return own;
  throw new HistoryConflict(
    `The event at position ${copy.position} is another one on the bus than in the log. ${CURE}`,
  );
}

export function busIsAhead(position: Position, head: Position): HistoryConflict {
  return new HistoryConflict(
    `The bus holds changes up to position ${position}, the event log ends at ${head}. ${CURE}`,
  );
}

const CURE = 'Restore the database they came from, or delete the streams on the bus.';

function readEvent({ data, sequence }: LogMessage): StoredEvent {
  try {
    return lastEventIn(data);
  } catch (cause) {
    throw new HistoryConflict(`Message ${sequence} on the bus is not an event of this version.`, {
      cause,
    });
  }
}
