/**
 * The event store in one SQLite file: events, read models and checkpoints change in the same
 * transactions. kill -9 safe: what was returned is in the write-ahead log. Leaves: what events mean
 * to the projection it is given.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { controlErrors } from '../errors.ts';
import { asc, eq, gt, max, sql, and } from './drizzle.ts';
import type { JsonObject } from './canonical-json.ts';
import { CommitListeners } from './commit-listeners.ts';
import { compiledChange, compiledSelection } from './compiled.ts';
import type { StoredEvent } from './event.ts';
import type { EventSearch, EventStretch } from './event-query.ts';
import { stretchWith } from './event-query.ts';
import type { AppendRequest, EventStore } from './event-store.ts';
import { GENESIS_HASH } from './hash-chain.ts';
import { HeldViews } from './held-views.ts';
import type { AnswerBook } from './kept-answers.ts';
import { prepareEvent, requireVersion } from './prepare-event.ts';
import type { PreparedEvent } from './prepare-event.ts';
import type { Project } from './read-models.ts';
import { SqliteApiKeys } from './sqlite-api-keys.ts';
import { rebuildBeside } from './rebuild-beside.ts';
import type { Rebuilt } from './rebuild-beside.ts';
import { namingFailures, openDatabase } from './sqlite-database.ts';
import type { Durability, SqliteDatabase } from './sqlite-database.ts';
import { SqliteEventSearch } from './sqlite-event-search.ts';
import { SqliteKeptAnswers } from './sqlite-kept-answers.ts';
import { SqliteReadModels } from './sqlite-read-models.ts';
import { checkpoints, events, excluded, writer } from './tables.ts';
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
}

const PAGE_EVENTS = 500;
/**
 * Under this name the read models' position is kept; a new number when their shape changes: they
 * are rebuilt.
 */
export const READ_MODELS = 'read-models/1';

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
  const lock = namingFailures(() => acquireWriterLock(options.file));
  try {
    const store = new SqliteEventStore(
      openDatabase(options.file, options.durability),
      lock,
      options,
    );
    store.catchUpReadModels();
    return store;
  } catch (error) {
    lock.release();
    throw error;
  }
}

class SqliteEventStore implements EventStore {
  readonly epoch: number;
  readonly apiKeys: SqliteApiKeys;
  readonly answers: AnswerBook;
  readonly #database: SqliteDatabase;
  readonly #lock: WriterLock;
  readonly #options: SqliteStoreOptions;
  readonly #statements: ReturnType<typeof prepareStatements>;
  readonly #search: SqliteEventSearch;
  readonly #models: SqliteReadModels;
  readonly #committed: CommitListeners;
  readonly #transactions: Transactions;
  #head: Head;
  #rebuilding: Promise<Rebuilt> | undefined;

  constructor(database: SqliteDatabase, lock: WriterLock, options: SqliteStoreOptions) {
    this.#database = database;
    this.#lock = lock;
    this.#options = options;
    this.#transactions = new Transactions(database.client);
    this.#statements = prepareStatements(database);
    this.#search = new SqliteEventSearch(database.client);
    this.apiKeys = new SqliteApiKeys(database, (work) => this.#run(work));
    this.#models = new SqliteReadModels(database, this.apiKeys);
    this.answers = new SqliteKeptAnswers(database, options.clock);
    this.#committed = new CommitListeners(options.log);
    this.#head = this.#statements.head.get() ?? { position: 0, hash: GENESIS_HASH };
    this.epoch = this.#statements.epoch.get()?.epoch ?? 1;
  }

  head(): Position {
    return this.#head.position;
  }

  *readAll(after: Position, limit = Infinity): Iterable<StoredEvent> {
    let position = after;
    for (let left = limit; left > 0; left -= PAGE_EVENTS) {
      const page = Math.min(left, PAGE_EVENTS);
      const rows = this.#run(() => this.#statements.page.all({ position, page }));
      for (const row of rows) yield eventOf(row);
      if (rows.length < page) return;
      position = rows.at(-1)?.position ?? position;
    }
  }

  *readStream(stream: string, afterVersion = 0, limit = Infinity): Iterable<StoredEvent> {
    let version = afterVersion;
    for (let left = limit; left > 0; left -= PAGE_EVENTS) {
      const page = Math.min(left, PAGE_EVENTS);
      const rows = this.#run(() => this.#statements.streamPage.all({ stream, version, page }));
      for (const row of rows) yield eventOf(row);
      if (rows.length < page) return;
      version = rows.at(-1)?.streamVersion ?? version;
    }
  }

  search(search: EventSearch): EventStretch {
    return stretchWith(search, this.#run(() => this.#search.rows(search)).map(eventOf));
  }

  lastByTime: EventStore['lastByTime'] = (time, bound) =>
    this.#run(() => this.#search.lastByTime(time, bound));
  nextStream: EventStore['nextStream'] = (after) => this.#run(() => this.#search.nextStream(after));
  streamsWithin: EventStore['streamsWithin'] = (after, before) =>
    this.#run(() => this.#search.streamsWithin(after, before));

  streamVersion(stream: string): number {
    return this.#run(() => this.#statements.streamVersion.get({ stream })?.version ?? 0);
  }

  append(request: AppendRequest): readonly StoredEvent[] {
    return this.#transactions.isInside
      ? this.#append(request)
      : this.atomically(() => this.#append(request));
  }

  atomically<T>(work: () => T): T {
    const before = this.#head;
    const outermost = !this.#transactions.isInside;
    if (outermost) this.#models.remember();
    try {
      const result = this.#run(() =>
        this.#transactions.run(() => (outermost ? this.#projecting(work) : work())),
      );
      if (outermost && this.#head !== before) this.#committed.announce();
      return result;
    } catch (error) {
      this.#head = before;
      this.#models.forget();
      throw error;
    } finally {
      if (outermost) this.#models.remember('nothing');
    }
  }

  subscribe(listener: () => void): () => void {
    return this.#committed.add(listener);
  }

  getTenant: EventStore['getTenant'] = (id) => this.#run(() => this.#models.getTenant(id));
  listTenants: EventStore['listTenants'] = (query) =>
    this.#run(() => this.#models.listTenants(query));
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

  rebuildReadModelsOnline(): Promise<Rebuilt> {
    this.#rebuilding ??= rebuildBeside({
      log: this,
      client: this.#database.client,
      project: this.#options.project,
      commit: (replace) =>
        this.atomically(() => {
          const rebuilt = replace();
          this.saveCheckpoint(READ_MODELS, rebuilt.position);
          return rebuilt;
        }),
    }).finally(() => (this.#rebuilding = undefined));
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
        epoch: this.epoch,
        prevHash: head.hash,
      });
      head = next.event;
      return next;
    });
    return this.#run(() => prepared.map((next) => this.#insert(next)));
  }

  #insert({ event, dataText }: PreparedEvent): StoredEvent {
    this.#statements.insert.run({ ...event, data: dataText });
    this.#options.project(event, this.#models);
    this.#head = event;
    return event;
  }

  /** Notes at the end which event the read models are of. */
  #projecting<T>(work: () => T): T {
    const before = this.#head;
    const result = work();
    if (this.#head !== before) this.saveCheckpoint(READ_MODELS, this.#head.position);
    return result;
  }

  #run<T>(work: () => T): T {
    if (!this.#database.client.open) {
      throw controlErrors.fail('STORE_CLOSED', 'The event log is closed.');
    }
    return namingFailures(work);
  }
}

function eventOf(row: typeof events.$inferSelect): StoredEvent {
  return Object.freeze({ ...row, data: JSON.parse(row.data) as JsonObject });
}

function prepareStatements({ client, orm }: SqliteDatabase) {
  const given = sql.placeholder;
  const inStream = eq(events.stream, given('stream'));
  return {
    epoch: orm.select({ epoch: writer.epoch }).from(writer).prepare(),
    head: orm
      .select({ position: events.position, hash: events.hash })
      .from(events)
      .orderBy(sql`${events.position} desc`)
      .limit(1)
      .prepare(),
    page: compiledSelection(
      client,
      orm
        .select()
        .from(events)
        .where(gt(events.position, given('position')))
        .orderBy(asc(events.position))
        .limit(given('page')),
    ),
    streamPage: orm
      .select()
      .from(events)
      .where(and(inStream, gt(events.streamVersion, given('version'))))
      .orderBy(asc(events.streamVersion))
      .limit(given('page'))
      .prepare(),
    streamVersion: compiledSelection(
      client,
      orm
        .select({ version: max(events.streamVersion) })
        .from(events)
        .where(inStream),
    ),
    insert: compiledChange(
      client,
      orm.insert(events).values({
        position: given('position'),
        stream: given('stream'),
        streamVersion: given('streamVersion'),
        type: given('type'),
        data: given('data'),
        actor: given('actor'),
        reason: given('reason'),
        requestId: given('requestId'),
        occurredAt: given('occurredAt'),
        epoch: given('epoch'),
        prevHash: given('prevHash'),
        hash: given('hash'),
      }),
    ),
    checkpoint: orm
      .select()
      .from(checkpoints)
      .where(eq(checkpoints.name, given('name')))
      .prepare(),
    saveCheckpoint: compiledChange(
      client,
      orm
        .insert(checkpoints)
        .values({ name: given('name'), position: given('position') })
        .onConflictDoUpdate({ target: checkpoints.name, set: excluded(checkpoints) }),
    ),
  };
}
