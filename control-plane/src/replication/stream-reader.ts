/**
 * Takes what the event stream on the bus holds into the log, each event held against the one before
 * it. Owns: what of a message is new, and how far the log has come. Leaves: who leads to
 * replica.ts.
 */
import type { BusLog, LogMessage, LogState, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { controlErrors } from '../errors.ts';
import { decodeEventMessage } from '../publish/event-message.ts';
import type { EventMessage } from '../publish/event-message.ts';
import { canonicalJson } from '../store/canonical-json.ts';
import type { StoredEvent } from '../store/event.ts';
import type { EventStore } from '../store/event-store.ts';
import { GENESIS_HASH, hashRecord } from '../store/hash-chain.ts';
import type { PreparedEvent } from '../store/prepare-event.ts';
import type { StreamPlace } from '../store/replicated-change.ts';

export const READER_LIMITS = Object.freeze({
  /** Messages that wait to be kept together; then the bus waits. */
  messagesMax: 100,
});

export interface ReaderHooks {
  /** The log has taken what the stream held up to a message. */
  onProgress(): void;
  /** Nothing more is read: the stream does not go with the log, or the log takes nothing. */
  onFailure(error: unknown): void;
}

interface Waiting {
  readonly message: LogMessage;
  readonly done: () => void;
}

export class StreamReader {
  readonly #store: EventStore;
  readonly #stream: BusLog;
  readonly #hooks: ReaderHooks;
  readonly #log: Logger;
  readonly #createdAt: string;
  readonly #following: Subscription;
  #waiting: Waiting[] = [];
  #firstSequence: number | undefined;
  #reached: number;
  #life: 'open' | 'closed' = 'open';

  /**
   * @param state of the stream now; goes on where the log and the stream were the same last.
   * @throws EVENT_STREAM_UNUSABLE when it is another stream than that, or lacks its beginning.
   */
  constructor(
    ports: { readonly store: EventStore; readonly stream: BusLog; readonly log: Logger },
    state: LogState,
    hooks: ReaderHooks,
  ) {
    this.#store = ports.store;
    this.#stream = ports.stream;
    this.#log = ports.log;
    this.#hooks = hooks;
    const place = ports.store.streamPlace;
    requireSameStream(place, state);
    this.#createdAt = state.createdAt;
    this.#firstSequence = place?.firstSequence;
    // Its end may be missing, as after a power loss: what follows then is new.
    const isEmpty = state.firstSequence > state.lastSequence;
    this.#reached = isEmpty
      ? state.lastSequence
      : Math.min(place?.sequence ?? 0, state.lastSequence);
    this.#following = this.#stream.follow(this.#reached + 1, (message) => this.#take(message));
  }

  /** The last message that the log has taken. */
  get reached(): number {
    return this.#reached;
  }

  close(): void {
    this.#life = 'closed';
    this.#following.close();
    for (const { done } of this.#waiting.splice(0)) done();
  }

  /** Kept together with what comes in the same turn; the bus waits when that is too much. */
  #take(message: LogMessage): Promise<void> | void {
    if (this.#life === 'closed') return undefined;
    const taken = Promise.withResolvers<void>();
    this.#waiting.push({ message, done: taken.resolve });
    if (this.#waiting.length === 1) setImmediate(() => this.#keep());
    return this.#waiting.length < READER_LIMITS.messagesMax ? undefined : taken.promise;
  }

  #keep(): void {
    if (this.#life === 'closed') return;
    const waiting = this.#waiting.splice(0);
    try {
      this.#receive(waiting.map(({ message }) => message));
    } catch (error) {
      this.close();
      this.#hooks.onFailure(error);
      return;
    } finally {
      for (const { done } of waiting) done();
    }
    this.#hooks.onProgress();
  }

  #receive(messages: readonly LogMessage[]): void {
    const head = new Head(this.#store);
    const answers: EventMessage['answers'][number][] = [];
    for (const message of messages) {
      if (message.origin === 'foreign') continue;
      const content = decode(message);
      for (const event of content.events) {
        if (event.position === 1) this.#firstSequence = message.sequence;
        if (this.#firstSequence === undefined) throw withoutBeginning(event);
        head.take(event, message.sequence);
      }
      answers.push(...content.answers);
    }
    const last = messages.at(-1);
    if (last === undefined) return;
    if (this.#firstSequence === undefined) {
      this.#reached = last.sequence;
      return;
    }
    const place = {
      createdAt: this.#createdAt,
      firstSequence: this.#firstSequence,
      sequence: last.sequence,
    };
    this.#store.receive({ events: head.news, answers }, place);
    this.#reached = last.sequence;
    this.#log.debug({ position: this.#store.head(), sequence: last.sequence }, 'events received');
  }
}

/** The end of the log, with what is to be added to it. */
class Head {
  readonly news: PreparedEvent[] = [];
  readonly #store: EventStore;
  #position: number;
  #hash: string;

  constructor(store: EventStore) {
    this.#store = store;
    this.#position = store.head();
    const [last] = store.readAll(this.#position - 1, 1);
    this.#hash = this.#position === 0 ? GENESIS_HASH : (last?.hash ?? '');
  }

  /** @throws EVENT_STREAM_UNUSABLE when it is not the event the log has, or can have, there. */
  take(event: StoredEvent, sequence: number): void {
    const { position } = event;
    if (position <= this.#position) return this.#requireHeld(event);
    const where = `Message ${sequence} of the event stream`;
    if (position > this.#position + 1) {
      throw unusable(`${where} holds event ${position}; the log ends at ${this.#position}.`);
    }
    const dataText = canonicalJson(event.data);
    if (event.prevHash !== this.#hash) {
      throw unusable(`${where} does not follow on event ${this.#position} of the log.`);
    }
    if (event.hash !== hashRecord(event, dataText)) {
      throw unusable(`${where} is not as it was written: event ${position} has another hash.`);
    }
    this.news.push({ event, dataText });
    this.#position = position;
    this.#hash = event.hash;
  }

  #requireHeld({ position, hash }: StoredEvent): void {
    const taken = this.news.find(({ event }) => event.position === position)?.event;
    const [held] = taken === undefined ? this.#store.readAll(position - 1, 1) : [taken];
    if (held?.hash === hash) return;
    throw unusable(
      `The event at position ${position} is another one in the stream than in the log.`,
    );
  }
}

/** @throws EVENT_STREAM_UNUSABLE when the log cannot be that of the stream any more. */
export function requireSameStream(place: StreamPlace | undefined, state: LogState): void {
  if (place === undefined) return;
  if (place.createdAt !== state.createdAt) {
    throw unusable(
      `The event stream was deleted and made anew at ${state.createdAt}; the log went with the` +
        ` one of ${place.createdAt}.`,
    );
  }
  if (state.firstSequence <= place.firstSequence) return;
  throw unusable(
    `The event stream was purged: it begins with message ${state.firstSequence}, the first event` +
      ` was in message ${place.firstSequence}.`,
  );
}

export function unusable(message: string, cause?: unknown): Error {
  return controlErrors.fail('EVENT_STREAM_UNUSABLE', message, {
    hint:
      'Bring back what NATS has stored. Where that is lost, stop all control planes, start the' +
      ' one with the highest position alone with durability full until GET /fleet says that its' +
      ' events are published, then all of them as before; the others with empty data folders.',
    cause,
  });
}

function withoutBeginning({ position }: StoredEvent): Error {
  return unusable(`The event stream was purged: it begins with event ${position}.`);
}

function decode({ data, sequence }: LogMessage): EventMessage {
  try {
    return decodeEventMessage(data);
  } catch (cause) {
    throw unusable(
      `Message ${sequence} of the event stream holds no events of this version.`,
      cause,
    );
  }
}
