/**
 * What one transaction comes to, apart from the transaction: decided on in one control plane,
 * carried by the event stream, and kept by every other one as it is.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { AnswerBook, KeptAnswer } from './kept-answers.ts';
import type { PreparedEvent } from './prepare-event.ts';

/** Events in the order of the log, and the answers that were given for them. */
export interface ReplicatedChange {
  readonly events: readonly PreparedEvent[];
  readonly answers: readonly KeptAnswer[];
}

/** A change that was decided on and undone again: the log is as it was before. */
export interface Rehearsed<T> extends ReplicatedChange {
  readonly result: T;
}

/** Where the event stream on the bus and the log are the same. */
export interface StreamPlace {
  /** Of the stream: one that was made anew has another. */
  readonly createdAt: string;
  /** Of the message that holds the first event of the log. */
  readonly firstSequence: number;
  /** Of the message that holds the last one. */
  readonly sequence: number;
}

/** Notes what happens within a transaction, and forgets what is undone in it. */
export class TransactionRecord {
  #events: PreparedEvent[] = [];
  #answers: KeptAnswer[] = [];

  get events(): readonly PreparedEvent[] {
    return this.#events;
  }

  get answers(): readonly KeptAnswer[] {
    return this.#answers;
  }

  addEvent(event: PreparedEvent): void {
    this.#events.push(event);
  }

  addAnswer(answer: KeptAnswer): void {
    this.#answers.push(answer);
  }

  /** What is noted from now on is forgotten by the function it returns. */
  mark(): () => void {
    const { length: events } = this.#events;
    const { length: answers } = this.#answers;
    return () => {
      this.#events = this.#events.slice(0, events);
      this.#answers = this.#answers.slice(0, answers);
    };
  }
}

/** `book`, and what is kept in it is noted while there is a record. */
export function recording(
  book: AnswerBook,
  record: () => TransactionRecord | undefined,
): AnswerBook {
  return {
    find: (actor, key) => book.find(actor, key),
    keep: (answer) => {
      book.keep(answer);
      record()?.addAnswer(answer);
    },
  };
}

/** Thrown out of a transaction to undo it; carries what the work had come to. */
class Undone<T> {
  readonly result: T;

  constructor(result: T) {
    this.result = result;
  }
}

/** What `work` would have come to. @throws what `work` and `atomically` throw */
export function rehearsed<T>(
  record: TransactionRecord,
  atomically: (work: () => never) => never,
  work: (eventsSoFar: () => number) => T,
): Rehearsed<T> {
  try {
    return atomically(() => {
      const result = work(() => record.events.length);
      throw new Undone({ result, events: record.events, answers: record.answers });
    });
  } catch (error) {
    if (error instanceof Undone) return (error as Undone<Rehearsed<T>>).result;
    throw error;
  }
}

/** @throws InvariantViolation: whoever has received an event has held it against the last one. */
export function requireNext(
  { event }: PreparedEvent,
  head: { readonly position: Position; readonly hash: string },
): void {
  const follows = event.position === head.position + 1 && event.prevHash === head.hash;
  assert(follows, 'what is received follows on the last event');
}
