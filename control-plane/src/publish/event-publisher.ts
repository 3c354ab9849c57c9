/**
 * Copies the event log to the bus, one message an event, for control planes: a standby follows it,
 * an empty one is rebuilt from it. Secrets stay sealed. Leaves: phases and retries to log-tail.ts.
 *
 * The newest message says how far the copy is. A copy that does not hold every event from the first
 * on (the log on the bus was made anew or purged) is begun again: a reader takes position 1 as a
 * new beginning. Where events go to the bus first, replication/ writes them instead.
 */
import type { Bus, BusLog, LogMessage, LogState } from '@dbbouncer/shared/bus/bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { EventStore } from '../store/event-store.ts';
import { appendBehind } from './append-behind.ts';
import { encodeEvent } from './event-message.ts';
import { ownEventIn } from './history.ts';
import { endOf } from './log-end.ts';
import type { TailSteps } from './log-tail.ts';

const PAGE_EVENTS = 100;

export class EventPublisher implements TailSteps {
  readonly name = 'publish/events';
  readonly #store: EventStore;
  readonly #log: BusLog;
  #position: Position;
  #logSequence = 0;

  constructor(store: EventStore, bus: Bus) {
    this.#store = store;
    this.#log = bus.log({ stream: SUBJECTS.eventStream, subject: SUBJECTS.event });
    this.#position = store.checkpoint(this.name);
  }

  get position(): Position {
    return this.#position;
  }

  async recover(): Promise<void> {
    const state = await this.#log.state();
    const last = await this.#log.last();
    this.#position = last === undefined ? 0 : this.#copiedUpTo(last, state);
    this.#logSequence = endOf(state, last);
    // What is copied anew lies elsewhere than before.
    const isBegunAnew = this.#position === 0 && this.#store.streamPlace !== undefined;
    if (isBegunAnew) this.#store.saveStreamPlace(undefined);
  }

  async publishNext(): Promise<'published' | 'idle' | 'lost'> {
    const page = [...this.#store.readAll(this.#position, PAGE_EVENTS)];
    for (const event of page) {
      // The id holds the sequence it is meant to follow: a purged log must not take it for a
      // repeat.
      const id = `event-${event.position}-after-${this.#logSequence}`;
      const stored = await appendBehind(this.#log, this.#logSequence, id, encodeEvent(event));
      if (stored === undefined) return 'lost';
      if (stored.duplicate || stored.sequence !== this.#logSequence + 1) return 'lost';
      this.#logSequence = stored.sequence;
      this.#position = event.position;
    }
    return page.length === 0 ? 'idle' : 'published';
  }

  /** @throws HistoryConflict when the bus holds the events of another log. */
  async requireSameHistory(): Promise<void> {
    const last = await this.#log.last();
    if (last !== undefined) ownEventIn(last, this.#store);
  }

  #copiedUpTo(last: LogMessage, state: LogState): Position {
    const { position } = ownEventIn(last, this.#store);
    return this.#isWhole(last.sequence - position + 1, state) ? position : 0;
  }

  /**
   * A message may hold several events: then it is known where the first is, as long as the log on
   * the bus is still that one.
   */
  #isWhole(sequenceOfFirst: number, { firstSequence, createdAt }: LogState): boolean {
    if (sequenceOfFirst >= firstSequence) return true;
    const place = this.#store.streamPlace;
    return place?.createdAt === createdAt && place.firstSequence >= firstSequence;
  }
}
