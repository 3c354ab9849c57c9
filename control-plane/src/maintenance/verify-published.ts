/**
 * Whether the events on the bus are those of the log. Reads both and changes neither. A copy that
 * is behind is no fault: the control plane goes on with it. One that says something else is.
 */
import type { Bus, LogMessage } from '@dbbouncer/shared/bus/bus.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { decodeEventMessage } from '../publish/event-message.ts';
import type { StoredEvent } from '../store/event.ts';
import type { EventReader } from '../store/event-store.ts';
import { readPublished } from './read-published.ts';
import type { Broken, OnProgress } from './verify.ts';

export type PublishedVerdict =
  { readonly outcome: 'whole'; readonly position: Position; readonly behind: number } | Broken;

type Log = Pick<EventReader, 'head' | 'readAll'>;

/**
 * Compares every message there is now, each with the event at its position.
 * @throws BUS_UNAVAILABLE when the bus is not reached, or falls silent, for 10 s.
 */
export async function verifyPublished(
  log: Log,
  bus: Bus,
  clock: Clock,
  onProgress: OnProgress = () => {},
): Promise<PublishedVerdict> {
  const comparison = new Comparison(log);
  const broken = await readPublished(bus, clock, (message) => {
    const problem = comparison.problemWith(message);
    onProgress(comparison.position, log.head());
    return problem;
  });
  if (broken !== undefined) return broken;
  const { position } = comparison;
  return { outcome: 'whole', position, behind: log.head() - position };
}

class Comparison {
  readonly #log: Log;
  #position: Position = 0;
  /** Whether a message was read: the oldest ones may have been dropped. */
  #state: 'empty' | 'begun' = 'empty';

  constructor(log: Log) {
    this.#log = log;
  }

  /** Of the last message that was compared. */
  get position(): Position {
    return this.#position;
  }

  problemWith({ data, sequence }: LogMessage): Broken | undefined {
    const copies = decode(data);
    if (copies === undefined) return broken(`message ${sequence} on the bus`, 'is no event');
    for (const copy of copies) {
      const problem = this.#problemWithCopy(copy);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  #problemWithCopy(copy: StoredEvent): Broken | undefined {
    const { position } = copy;
    // A copy that was begun again begins with the first event.
    const follows = position === this.#position + 1 || position === 1 || this.#state === 'empty';
    if (!follows) {
      return broken(`position ${this.#position + 1}`, `the bus goes on with ${position} instead`);
    }
    this.#state = 'begun';
    this.#position = position;
    const [own] = this.#log.readAll(position - 1, 1);
    if (own?.position !== position) {
      return broken(`position ${position}`, 'is on the bus and not in the log');
    }
    const isSame = JSON.stringify(sorted(own)) === JSON.stringify(sorted(copy));
    return isSame ? undefined : broken(`position ${position}`, 'is another event on the bus');
  }
}

/** Data is canonical already: only the fields of the record have no order. */
function sorted({ data, ...fields }: StoredEvent): unknown {
  const names = Object.entries(fields).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [names, data];
}

function decode(data: Uint8Array): readonly StoredEvent[] | undefined {
  try {
    return decodeEventMessage(data).events;
  } catch {
    return undefined;
  }
}

function broken(where: string, reason: string): Broken {
  return { outcome: 'broken', where, reason };
}
