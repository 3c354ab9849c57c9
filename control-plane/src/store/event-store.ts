/**
 * The event store port: one ordered log of events in streams, and the read models that change with
 * it. Two adapters pass `event-store.contract.ts`: SQLite and memory. Everything is synchronous:
 * there is one writer, in this process, so nothing can come between a load and the append that
 * relies on it.
 */
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { DomainEvent } from '../domain/domain-event.ts';
import type { EventMeta, StoredEvent } from './event.ts';
import type { ApiKeyReader, ApiKeyUses } from './api-keys.ts';
import type { EventSearch, EventStretch } from './event-query.ts';
import type { AnswerBook } from './kept-answers.ts';
import type { ReadModels, TenantReader } from './read-models.ts';
import type { Rebuilt } from './rebuild-beside.ts';
import type { Rehearsed, ReplicatedChange, StreamPlace } from './replicated-change.ts';

/**
 * `no-stream`: nothing was ever appended to it. `any`: no check. A number: exactly this version.
 */
export type ExpectedVersion = 'no-stream' | 'any' | number;

export interface AppendRequest {
  readonly stream: string;
  readonly expectedVersion: ExpectedVersion;
  readonly events: readonly DomainEvent[];
  readonly meta: EventMeta;
}

export interface EventReader {
  /** Position of the last event; 0 when there is none. */
  head(): Position;
  /**
   * Events with a higher position, in order, read page by page: what is appended meanwhile may or
   * may not be seen.
   */
  readAll(after: Position, limit?: number): Iterable<StoredEvent>;
  /** Events of one stream with a higher version, in order. */
  readStream(stream: string, afterVersion?: number, limit?: number): Iterable<StoredEvent>;
  /**
   * The events that a search asks for, on the first STRETCH_POSITIONS_MAX positions it would look
   * at: whoever wants more goes on from `reached`.
   */
  search(search: EventSearch): EventStretch;
  /**
   * Position of the latest event by its time, before a time or up to it; 0 when there is none.
   * Where the clock was set back, time and position disagree: the time decides here.
   */
  lastByTime(time: string, bound: 'before' | 'up_to'): Position;
  /** The first stream after this name in the order of names, or nothing after the last. */
  nextStream(after: string): string | undefined;
  /** The streams with events between two positions, neither included; in no order. */
  streamsWithin(after: Position, before: Position): readonly string[];
}

export interface EventStore
  extends EventReader, TenantReader, Pick<ReadModels, 'findContradicted'> {
  /** The term that events are written in: that of the latest one, or the one begun since. */
  readonly epoch: number;
  readonly apiKeys: ApiKeyReader & ApiKeyUses;
  /** What is kept in it is undone with the transaction around it. */
  readonly answers: AnswerBook;
  /** Version of the stream: 0 when nothing was ever appended to it. */
  streamVersion(stream: string): number;
  /**
   * Appends all of them or none and updates the read models in the same transaction.
   * @throws VERSION_CONFLICT when the stream is not at the expected version; VALIDATION_FAILED for
   * an event that is too large; STORE_BUSY, STORE_FULL, STORE_FAILED.
   */
  append(request: AppendRequest): readonly StoredEvent[];
  /**
   * Runs `work` in one transaction: kept when it returns, undone as a whole when it throws. Nests.
   * @throws STORE_OUTCOME_UNKNOWN when the disk failed while it was being kept; STORE_*: undone.
   */
  atomically<T>(work: () => T): T;
  /** Events are written in this term from now on, which is above every one before. */
  beginTerm(epoch: number): void;
  /**
   * Runs `work` as a transaction, undoes it, and gives what it would have come to.
   * @param work is told how many events there are so far. @throws what `work` throws, STORE_*
   */
  rehearse<T>(work: (eventsSoFar: () => number) => T): Rehearsed<T>;
  /**
   * Keeps events that follow on the last one, as they are, and where they are in the event stream.
   * @throws STORE_*: nothing was kept.
   */
  receive(change: ReplicatedChange, place: StreamPlace): void;
  /** As it was kept last; nothing when this log and a stream never were the same. */
  readonly streamPlace: StreamPlace | undefined;
  /** Nothing: it has to be found anew. */
  saveStreamPlace(place: StreamPlace | undefined): void;
  /**
   * Calls `listener` after each outermost commit that appended something, until the returned
   * function is called.
   */
  subscribe(listener: () => void): () => void;
  /** Empties the read models and folds them again from all events, in one transaction. */
  rebuildReadModels(): void;
  /** The same while commands and queries go on; a second call waits for the first. */
  rebuildReadModelsOnline(): Promise<Rebuilt>;
  /** How far that has come; nothing while nobody rebuilds. */
  readonly rebuiltUpTo: Position | undefined;
  /** The position a reader of the log had reached under this name; 0 when it never said. */
  checkpoint(name: string): Position;
  saveCheckpoint(name: string, position: Position): void;
  /**
   * Keeps something small that says nothing, without waiting for whoever is in the way.
   * @throws STORE_FULL, STORE_BUSY, STORE_DAMAGED, STORE_FAILED when changes cannot be kept now.
   */
  tryWriting(): void;
  /** Frees the file; every later call throws STORE_CLOSED. */
  close(): void;
}
