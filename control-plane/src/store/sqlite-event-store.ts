/**
 * The event store in one SQLite file: events, read models and checkpoints change in the same
 * transactions. kill -9 safe: what was returned is in the write-ahead log. Leaves: what events mean
 * to the projection it is given.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { controlErrors } from '../errors.ts';
import { CommitListeners } from './commit-listeners.ts';
import type { StoredEvent } from './event.ts';
import { prepareEventStatements } from './event-statements.ts';
import type { EventStatements } from './event-statements.ts';
import type { EventSearch, EventStretch } from './event-query.ts';
import { stretchWith } from './event-query.ts';
import type { AppendRequest, EventStore } from './event-store.ts';
import { GENESIS_HASH } from './hash-chain.ts';
import { HeldViews } from './held-views.ts';
import { keepWhereRoomIs } from './kept-answers.ts';
import type { AnswerBook } from './kept-answers.ts';
import { prepareEvent, requireVersion } from './prepare-event.ts';
import type { PreparedEvent } from './prepare-event.ts';
import type { Project } from './read-models.ts';
import { SqliteApiKeys } from './sqlite-api-keys.ts';
import { rebuildBeside } from './rebuild-beside.ts';
import type { Rebuilt } from './rebuild-beside.ts';
import { recording, rehearsed, requireNext, TransactionRecord } from './replicated-change.ts';
import type { Rehearsed, ReplicatedChange, StreamPlace } from './replicated-change.ts';
import { namingFailures, unkept } from './failures.ts';
import { requireFreeRoom } from './free-room.ts';
import { BUSY_TIMEOUT_MS, openDatabase } from './sqlite-database.ts';
import type { Durability, SqliteDatabase } from './sqlite-database.ts';
import { SqliteEventPages } from './sqlite-event-pages.ts';
import { SqliteEventSearch } from './sqlite-event-search.ts';
import { SqliteKeptAnswers } from './sqlite-kept-answers.ts';
import { SqliteServers } from './sqlite-servers.ts';
import { SqliteReadModels } from './sqlite-read-models.ts';
import { Transactions } from './transactions.ts';
import { acquireWriterLock } from './writer-lock.ts';
import type { WriterLock } from './writer-lock.ts';

export interface SqliteStoreOptions {
  readonly file: string;
  readonly durability: Durability;
  readonly clock: Clock;
  readonly log: Logger;
  /** Keeps the read models; runs inside the transaction that appends. */
  readonly project: Project;
  /** Told when something that was read is not as it was written. */
  readonly onDamage?: (error: Error) => void;
}

/**
 * Under this name the read models' position is kept; a new number when their shape changes: they
 * are rebuilt.
 */
export const READ_MODELS = 'read-models/1';
/** The checkpoint that is saved to find out whether one can be. */
const WRITE_TRIAL = 'write-trial';

interface Head {
  readonly position: Position;
  readonly hash: string;
}

/**
 * Opens or makes the database, for this process alone, and rebuilds read models that do not belong
 * to its last event.
 * @throws STORE_LOCKED when another process writes to it; STORE_FULL, STORE_BUSY, STORE_FAILED.
 */
export function openSqliteEventStore(options: SqliteStoreOptions): EventStore {
  const lock = namingFailures(() => acquireWriterLock(options.file), options.file);
  try {
    const database = openDatabase(options.file, options.durability);
    const store = namingFailures(() => new SqliteEventStore(database, lock, options), options.file);
    store.catchUpReadModels();
    return store;
  } catch (error) {
    lock.release();
    throw error;
  }
}

class SqliteEventStore implements EventStore {
  readonly apiKeys: SqliteApiKeys;
  readonly servers: SqliteServers;
  readonly answers: AnswerBook;
  readonly #database: SqliteDatabase;
  readonly #lock: WriterLock;
  readonly #options: SqliteStoreOptions;
  readonly #statements: EventStatements;
  readonly #search: SqliteEventSearch;
  readonly #pages: SqliteEventPages;
  readonly #models: SqliteReadModels;
  readonly #committed: CommitListeners;
  readonly #transactions: Transactions;
  #epoch: number;
  #head: Head;
  /** Of the transaction under way, while one is rehearsed. */
  #record: TransactionRecord | undefined;
  /** The stream that was looked at last in this transaction: a command looks more than once. */
  #latest: { readonly stream: string; readonly version: number } | undefined;
  #rebuilding: Promise<Rebuilt> | undefined;
  #rebuiltUpTo: Position | undefined;

  constructor(database: SqliteDatabase, lock: WriterLock, options: SqliteStoreOptions) {
    this.#database = database;
    this.#lock = lock;
    this.#options = options;
    this.#transactions = new Transactions(database.client);
    this.#statements = prepareEventStatements(database);
    this.#search = new SqliteEventSearch(database.client);
    this.#pages = new SqliteEventPages(this.#statements, (work) => this.#run(work));
    this.apiKeys = new SqliteApiKeys(database, (work) => this.#run(work));
    this.servers = new SqliteServers(database, (work) => this.#run(work));
    this.#models = new SqliteReadModels(database, this.apiKeys, this.servers);
    const answers = new SqliteKeptAnswers(database, options.clock);
    this.answers = recording(answers, () => this.#record);
    this.#committed = new CommitListeners(options.log);
    this.#head = this.#statements.head.get() ?? { position: 0, hash: GENESIS_HASH };
    this.#epoch = this.#statements.epoch.get()?.epoch ?? 1;
  }

  get epoch(): number {
    return this.#epoch;
  }

  head(): Position {
    return this.#head.position;
  }

  readAll: EventStore['readAll'] = (after, limit) => this.#pages.readAll(after, limit);
  readStream: EventStore['readStream'] = (stream, afterVersion, limit) =>
    this.#pages.readStream(stream, afterVersion, limit);

  search(search: EventSearch): EventStretch {
    const rows = this.#run(() => this.#search.rows(search));
    const found = rows.map((row) => this.#pages.eventOf(row));
    return stretchWith(search, found);
  }

  lastByTime: EventStore['lastByTime'] = (time, bound) =>
    this.#run(() => this.#search.lastByTime(time, bound));
  nextStream: EventStore['nextStream'] = (after) => this.#run(() => this.#search.nextStream(after));
  streamsWithin: EventStore['streamsWithin'] = (after, before) =>
    this.#run(() => this.#search.streamsWithin(after, before));

  streamVersion(stream: string): number {
    if (this.#latest?.stream === stream) return this.#latest.version;
    const version = this.#run(() => this.#statements.streamVersion.get({ stream })?.version ?? 0);
    if (this.#transactions.isInside) this.#latest = { stream, version };
    return version;
  }

  append(request: AppendRequest): readonly StoredEvent[] {
    return this.#transactions.isInside
      ? this.#append(request)
      : this.atomically(() => this.#append(request));
  }

  atomically<T>(work: () => T): T {
    return this.#transactions.isInside ? this.#step(work) : this.#transaction(work);
  }

  beginTerm(epoch: number): void {
    assert(epoch > this.#epoch || this.#head.position === 0, 'a term is above those before it');
    this.#run(() => this.#statements.saveEpoch.run({ epoch }));
    this.#epoch = epoch;
  }

  rehearse<T>(work: (eventsSoFar: () => number) => T): Rehearsed<T> {
    assert(!this.#transactions.isInside, 'only a whole transaction is rehearsed');
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
      for (const next of events) this.#insertReceived(next);
      for (const answer of answers) keepWhereRoomIs(this.answers, answer);
      this.saveStreamPlace(place);
    });
  }

  get streamPlace(): StreamPlace | undefined {
    return this.#run(() => this.#statements.place.get());
  }

  saveStreamPlace(place: StreamPlace | undefined): void {
    this.#run(() => {
      if (place === undefined) this.#statements.forgetPlace.run();
      else this.#statements.savePlace.run({ ...place });
    });
  }

  subscribe(listener: () => void): () => void {
    return this.#committed.add(listener);
  }

  getTenant: EventStore['getTenant'] = (id) => this.#run(() => this.#models.getTenant(id));
  listTenants: EventStore['listTenants'] = (query) =>
    this.#run(() => this.#models.listTenants(query));
  budgetOf: EventStore['budgetOf'] = (server) => this.#run(() => this.#models.budgetOf(server));
  countTenants: EventStore['countTenants'] = () => this.#run(() => this.#models.countTenants());
  getDefaults: EventStore['getDefaults'] = () => this.#run(() => this.#models.getDefaults());
  findContradicted: EventStore['findContradicted'] = (pool) =>
    this.#run(() => this.#models.findContradicted(pool));

  rebuildReadModels(): void {
    this.atomically(() => {
      this.#models.clear();
      const views = new HeldViews(this.#models);
      for (const event of this.readAll(0)) this.#options.project(event, views);
      views.settle();
      this.saveCheckpoint(READ_MODELS, this.head());
    });
  }

  get rebuiltUpTo(): Position | undefined {
    return this.#rebuiltUpTo;
  }

  rebuildReadModelsOnline(): Promise<Rebuilt> {
    this.#rebuiltUpTo ??= 0;
    this.#rebuilding ??= rebuildBeside({
      log: this,
      client: this.#database.client,
      project: this.#options.project,
      onFolded: (upTo) => void (this.#rebuiltUpTo = upTo),
      commit: (replace) =>
        this.atomically(() => {
          const rebuilt = replace();
          this.saveCheckpoint(READ_MODELS, rebuilt.position);
          return rebuilt;
        }),
    }).finally(() => {
      this.#rebuilding = undefined;
      this.#rebuiltUpTo = undefined;
    });
    return this.#rebuilding;
  }

  /**
   * Rebuilds the read models when they are not those of the last event: dropped, restored, or of an
   * older shape.
   */
  catchUpReadModels(): void {
    const position = this.checkpoint(READ_MODELS);
    if (position === this.head()) return;
    this.#options.log.warn({ position, head: this.head() }, 'read models are rebuilt from events');
    this.rebuildReadModels();
  }

  checkpoint(name: string): Position {
    return this.#run(() => this.#statements.checkpoint.get({ name })?.position ?? 0);
  }

  saveCheckpoint(name: string, position: Position): void {
    this.#run(() => this.#statements.saveCheckpoint.run({ name, position }));
  }

  tryWriting(): void {
    requireFreeRoom(this.#options.file);
    this.#database.client.pragma('busy_timeout = 0');
    try {
      this.saveCheckpoint(WRITE_TRIAL, this.head());
    } finally {
      this.#database.client.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
    }
  }

  close(): void {
    if (!this.#database.client.open) return;
    this.#database.client.close();
    this.#lock.release();
  }

  /** What is refused is refused before anything is inserted: nothing needs to be undone then. */
  #append({ stream, expectedVersion, events, meta }: AppendRequest): readonly StoredEvent[] {
    const version = this.streamVersion(stream);
    requireVersion(stream, expectedVersion, version);
    const occurredAt = this.#options.clock.timestamp();
    let head = this.#head;
    const prepared = events.map((event, index) => {
      const next = prepareEvent(event, meta, {
        position: head.position + 1,
        stream,
        streamVersion: version + index + 1,
        occurredAt,
        epoch: this.#epoch,
        prevHash: head.hash,
      });
      head = next.event;
      return next;
    });
    this.#transactions.requireWhole();
    const stored = this.#run(() => prepared.map((next) => this.#insert(next)));
    this.#latest = { stream, version: version + stored.length };
    return stored;
  }

  #insert(prepared: PreparedEvent): StoredEvent {
    const { event, dataText } = prepared;
    this.#statements.insert.run({ ...event, data: dataText });
    this.#options.project(event, this.#models);
    this.#head = event;
    this.#record?.addEvent(prepared);
    return event;
  }

  #insertReceived(next: PreparedEvent): void {
    const { epoch } = next.event;
    requireNext(next, this.#head);
    this.#run(() => this.#insert(next));
    if (epoch === this.#epoch) return;
    this.#run(() => this.#statements.saveEpoch.run({ epoch }));
    this.#epoch = epoch;
  }

  #step<T>(work: () => T): T {
    const before = this.#head;
    const forget = this.#record?.mark();
    try {
      return this.#run(() => this.#transactions.run(work));
    } catch (error) {
      this.#head = before;
      forget?.();
      this.#latest = undefined;
      this.#models.forget();
      throw error;
    }
  }

  #transaction<T>(work: () => T): T {
    const before = this.#head;
    let done: { readonly result: T; readonly head: Head } | undefined;
    this.#models.remember();
    try {
      this.#run(() =>
        this.#transactions.run(() => {
          const result = work();
          if (this.#head !== before) this.saveCheckpoint(READ_MODELS, this.#head.position);
          done = { result, head: this.#head };
        }),
      );
    } catch (error) {
      this.#head = before;
      if (done === undefined) throw error;
      // It failed while it was being kept: only the file knows whether it was.
      if (done.head === before || !this.#holds(done.head)) throw unkept(error);
      this.#head = done.head;
    } finally {
      this.#latest = undefined;
      this.#models.remember('nothing');
    }
    assert(done !== undefined, 'what did not throw is done');
    if (this.#head !== before) this.#committed.announce();
    return done.result;
  }

  #holds({ position, hash }: Head): boolean {
    try {
      const head = this.#run(() => this.#statements.head.get());
      return head?.position === position && head.hash === hash;
    } catch {
      // What cannot be read is not known to be there.
      return false;
    }
  }

  /** Whoever is told of damage hears of it at once, whatever was read. */
  #noted(error: unknown): unknown {
    if (controlErrors.is(error) && error.code === 'STORE_DAMAGED') this.#options.onDamage?.(error);
    return error;
  }

  #run<T>(work: () => T): T {
    if (!this.#database.client.open) {
      throw controlErrors.fail('STORE_CLOSED', 'The event log is closed.');
    }
    try {
      return namingFailures(work, this.#options.file);
    } catch (error) {
      throw this.#noted(error);
    }
  }
}
