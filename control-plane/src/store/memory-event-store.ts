/**
 * The event store in memory, for tests and for folding events beside the live read models.
 * It behaves as the SQLite one does (event-store.contract.ts) and keeps nothing.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { FrozenMap } from '@dbbouncer/shared/kernel/frozen-map.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { controlErrors } from '../errors.ts';
import { CommitListeners } from './commit-listeners.ts';
import type { StoredEvent } from './event.ts';
import type { EventSearch, EventStretch } from './event-query.ts';
import { matches, stretchOf, stretchWith } from './event-query.ts';
import type { AppendRequest, EventStore } from './event-store.ts';
import type { ApiKeyReader, ApiKeyUses } from './api-keys.ts';
import { GENESIS_HASH } from './hash-chain.ts';
import { keepWhereRoomIs } from './kept-answers.ts';
import type { AnswerBook } from './kept-answers.ts';
import { MemoryKeptAnswers } from './memory-kept-answers.ts';
import { MemoryReadModels } from './memory-read-models.ts';
import { prepareEvent, requireVersion } from './prepare-event.ts';
import type { PreparedEvent } from './prepare-event.ts';
import type { Project } from './read-models.ts';
import type { Rebuilt } from './rebuild-beside.ts';
import type { ServerReader } from './servers.ts';
import { recording, rehearsed, requireNext, TransactionRecord } from './replicated-change.ts';
import type { Rehearsed, ReplicatedChange, StreamPlace } from './replicated-change.ts';

export interface MemoryStoreOptions {
  readonly clock: Clock;
  readonly project: Project;
}

export function createMemoryEventStore(options: MemoryStoreOptions): EventStore {
  return new MemoryEventStore(options);
}

class MemoryEventStore implements EventStore {
  epoch = 1;
  readonly apiKeys: ApiKeyReader & ApiKeyUses;
  readonly servers: ServerReader;
  readonly answers: AnswerBook;
  readonly #answers: MemoryKeptAnswers;
  readonly #options: MemoryStoreOptions;
  readonly #models = new MemoryReadModels();
  readonly #committed = new CommitListeners(silentLogger);
  #events: StoredEvent[] = [];
  #versions = FrozenMap.empty<number>();
  #checkpoints = FrozenMap.empty<Position>();
  #depth = 0;
  #record: TransactionRecord | undefined;
  #place: StreamPlace | undefined;
  #phase: 'open' | 'closed' = 'open';

  constructor(options: MemoryStoreOptions) {
    this.#options = options;
    this.apiKeys = this.#apiKeys();
    this.servers = this.#servers();
    this.#answers = new MemoryKeptAnswers(options.clock);
    this.answers = recording(this.#answers, () => this.#record);
  }

  head(): Position {
    return this.#events.length;
  }

  *readAll(after: Position, limit = Infinity): Iterable<StoredEvent> {
    this.#requireOpen();
    yield* this.#events.slice(after, after + limit);
  }

  *readStream(stream: string, afterVersion = 0, limit = Infinity): Iterable<StoredEvent> {
    this.#requireOpen();
    let left = limit;
    for (const event of this.#events) {
      if (event.stream !== stream || event.streamVersion <= afterVersion) continue;
      if (left-- <= 0) return;
      yield event;
    }
  }

  search(search: EventSearch): EventStretch {
    this.#requireOpen();
    const { after, before } = stretchOf(search);
    const found = this.#within(after, before).filter((event) => matches(event, search));
    const ordered = search.order === 'asc' ? found : found.toReversed();
    return stretchWith(search, ordered.slice(0, search.limit));
  }

  lastByTime(time: string, bound: 'before' | 'up_to'): Position {
    this.#requireOpen();
    let last: StoredEvent | undefined;
    for (const event of this.#events) {
      if (bound === 'before' ? event.occurredAt >= time : event.occurredAt > time) continue;
      if (last === undefined || event.occurredAt >= last.occurredAt) last = event;
    }
    return last?.position ?? 0;
  }

  nextStream(after: string): string | undefined {
    this.#requireOpen();
    const names = this.#events.map(({ stream }) => stream).filter((stream) => stream > after);
    return names.sort()[0];
  }

  streamsWithin(after: Position, before: Position): readonly string[] {
    this.#requireOpen();
    return [...new Set(this.#within(after, before).map(({ stream }) => stream))];
  }

  #within(after: Position, before: Position): readonly StoredEvent[] {
    return this.#events.slice(after, Math.max(0, before - 1));
  }

  streamVersion(stream: string): number {
    this.#requireOpen();
    return this.#versions.get(stream) ?? 0;
  }

  append(request: AppendRequest): readonly StoredEvent[] {
    return this.atomically(() => {
      const version = this.streamVersion(request.stream);
      requireVersion(request.stream, request.expectedVersion, version);
      return request.events.map((event, index) =>
        this.#insert(
          prepareEvent(event, request.meta, {
            position: this.head() + 1,
            stream: request.stream,
            streamVersion: version + index + 1,
            occurredAt: this.#options.clock.timestamp(),
            epoch: this.epoch,
            prevHash: this.#headHash,
          }),
        ),
      );
    });
  }

  atomically<T>(work: () => T): T {
    this.#requireOpen();
    const position = this.head();
    const undo = this.#remember();
    this.#depth += 1;
    try {
      const result = work();
      this.#depth -= 1;
      if (this.#depth === 0 && this.head() !== position) this.#committed.announce();
      return result;
    } catch (error) {
      this.#depth -= 1;
      undo();
      throw error;
    }
  }

  beginTerm(epoch: number): void {
    assert(epoch > this.epoch || this.head() === 0, 'a term is above those before it');
    this.epoch = epoch;
  }

  rehearse<T>(work: (eventsSoFar: () => number) => T): Rehearsed<T> {
    const record = new TransactionRecord();
    this.#record = record;
    try {
      return rehearsed(record, (rehearsal) => this.atomically(rehearsal), work);
    } finally {
      this.#record = undefined;
    }
  }

  receive({ events, answers }: ReplicatedChange, place: StreamPlace): void {
    this.atomically(() => {
      for (const next of events) {
        requireNext(next, { position: this.head(), hash: this.#headHash });
        this.#insert(next);
        this.epoch = next.event.epoch;
      }
      for (const answer of answers) keepWhereRoomIs(this.answers, answer);
      this.saveStreamPlace(place);
    });
  }

  get streamPlace(): StreamPlace | undefined {
    return this.#place;
  }

  saveStreamPlace(place: StreamPlace | undefined): void {
    this.#requireOpen();
    this.#place = place;
  }

  get #headHash(): string {
    return this.#events.at(-1)?.hash ?? GENESIS_HASH;
  }

  subscribe(listener: () => void): () => void {
    return this.#committed.add(listener);
  }

  getTenant: EventStore['getTenant'] = (id) => this.#open().getTenant(id);
  listTenants: EventStore['listTenants'] = (query) => this.#open().listTenants(query);
  budgetOf: EventStore['budgetOf'] = (server) => this.#open().budgetOf(server);
  countTenants: EventStore['countTenants'] = () => this.#open().countTenants();
  getDefaults: EventStore['getDefaults'] = () => this.#open().getDefaults();
  findContradicted: EventStore['findContradicted'] = (pool) => this.#open().findContradicted(pool);

  rebuildReadModels(): void {
    this.atomically(() => {
      this.#models.clear();
      for (const event of this.#events) this.#options.project(event, this.#models);
    });
  }

  /** Nobody sees it in between. */
  readonly rebuiltUpTo = undefined;

  async rebuildReadModelsOnline(): Promise<Rebuilt> {
    this.rebuildReadModels();
    return { position: this.head(), mended: undefined };
  }

  checkpoint(name: string): Position {
    this.#requireOpen();
    return this.#checkpoints.get(name) ?? 0;
  }

  saveCheckpoint(name: string, position: Position): void {
    this.#requireOpen();
    this.#checkpoints = this.#checkpoints.with([[name, position]]);
  }

  tryWriting(): void {
    this.#requireOpen();
  }

  close(): void {
    this.#phase = 'closed';
  }

  #apiKeys(): ApiKeyReader & ApiKeyUses {
    const uses = new Map<string, string>();
    return {
      get: (id) => this.#open().apiKeys.get(id),
      list: (query) => this.#open().apiKeys.list(query),
      withPrefix: (prefix, limit) => this.#open().apiKeys.withPrefix(prefix, limit),
      countOthers: (key) => this.#open().apiKeys.countOthers(key),
      lastUses: () => new Map(uses),
      saveUses: (more) => {
        this.#requireOpen();
        for (const [id, at] of more) uses.set(id, at);
      },
    };
  }

  #servers(): ServerReader {
    return {
      get: (name) => this.#open().servers.get(name),
      at: (address) => this.#open().servers.at(address),
      list: () => this.#open().servers.list(),
      count: () => this.#open().servers.count(),
    };
  }

  #insert(prepared: PreparedEvent): StoredEvent {
    const { event } = prepared;
    this.#events.push(event);
    this.#record?.addEvent(prepared);
    this.#versions = this.#versions.with([[event.stream, event.streamVersion]]);
    this.#options.project(event, this.#models);
    return event;
  }

  #remember(): () => void {
    const position = this.head();
    const versions = this.#versions;
    const checkpoints = this.#checkpoints;
    const undoModels = this.#models.remember();
    const undoAnswers = this.#answers.remember();
    const place = this.#place;
    const forget = this.#record?.mark();
    return () => {
      this.#events = this.#events.slice(0, position);
      this.#versions = versions;
      this.#checkpoints = checkpoints;
      undoModels();
      undoAnswers();
      this.#place = place;
      forget?.();
    };
  }

  #open(): MemoryReadModels {
    this.#requireOpen();
    return this.#models;
  }

  #requireOpen(): void {
    if (this.#phase === 'closed') {
      throw controlErrors.fail('STORE_CLOSED', 'The event log is closed.');
    }
  }
}
