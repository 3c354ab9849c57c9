/**
 * An event log that is read where it lies, by another program than the one that writes it.
 * Owns: reading without a lock and without changing a byte. Leaves: what events mean, and whether
 * the chain holds, to the caller.
 */
import type Database from 'better-sqlite3';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { JsonObject } from './canonical-json.ts';
import type { StoredEvent } from './event.ts';
import { namingFailures } from './failures.ts';
import { schemaDifference } from './schema-check.ts';
import type { SchemaDifference } from './schema-check.ts';
import { openForReading } from './sqlite-database.ts';
import { READ_MODELS } from './sqlite-event-store.ts';
import { tableReader } from './table-reader.ts';
import type { TableReader } from './table-reader.ts';

const PAGE_EVENTS = 500;

type EventRow = Omit<StoredEvent, 'data'> & { readonly data: string };

/** An event, and the very text its data is stored as: JSON takes others for the same. */
export interface FiledEvent {
  readonly event: StoredEvent;
  readonly data: string;
}

export type EventFacts = Pick<StoredEvent, 'position' | 'stream' | 'type' | 'data' | 'epoch'>;

type FactsRow = readonly [
  position: number,
  stream: string,
  type: string,
  data: string,
  epoch: number,
];

export class LogFile {
  readonly #file: string;
  readonly #client: Database.Database;
  readonly #statements: ReturnType<typeof prepareStatements>;

  /** @throws STORE_BUSY, STORE_FAILED */
  constructor(file: string) {
    this.#file = file;
    this.#client = openForReading(file);
    this.#statements = namingFailures(() => prepareStatements(this.#client), file);
  }

  head(): Position {
    return this.#run(() => this.#statements.head.get() as number | null) ?? 0;
  }

  get epoch(): number {
    return this.#run(() => this.#statements.epoch.get() as number | undefined) ?? 1;
  }

  /** What is wrong with what is kept of the writer itself: one row, of the last term or later. */
  writerProblem(): string | undefined {
    const rows = this.#run(() => this.#statements.epoch.all());
    const last = this.#run(() => this.#statements.lastEpoch.get() as number | null) ?? 1;
    const [epoch] = rows;
    if (rows.length !== 1) return `has ${rows.length} rows and not one`;
    if (!Number.isSafeInteger(epoch) || Number(epoch) < 1) return `names no term: ${String(epoch)}`;
    return Number(epoch) < last ? `is of term ${String(epoch)}, and events of ${last}` : undefined;
  }

  /** @throws Error for a row that is not as an event is stored. */
  *readAll(after: Position, limit?: number): Iterable<StoredEvent> {
    for (const { event } of this.readFiled(after, limit)) yield event;
  }

  /** @throws as readAll */
  *readFiled(after: Position, limit = Infinity): Iterable<FiledEvent> {
    let position = after;
    for (let left = limit; left > 0; left -= PAGE_EVENTS) {
      const page = Math.min(left, PAGE_EVENTS);
      const rows = this.#run(() => this.#statements.page.all({ position, page }) as EventRow[]);
      for (const row of rows) yield { event: eventOf(row), data: row.data };
      if (rows.length < page) return;
      position = rows.at(-1)?.position ?? position;
    }
  }

  /** What happened up to a position, from the first event on, without who did it, why and when. */
  *readFacts(upTo: Position): Iterable<EventFacts> {
    for (let after = 0; after < upTo; after += PAGE_EVENTS) {
      const page = Math.min(PAGE_EVENTS, upTo - after);
      const rows = this.#run(() => this.#statements.facts.all(after, page) as FactsRow[]);
      for (const [position, stream, type, data, epoch] of rows) {
        yield { position, stream, type, data: parse(data), epoch };
      }
    }
  }

  /** Position of the latest event up to a time, as events are stamped; 0 when there is none. */
  lastByTime(time: string): Position {
    return (this.#run(() => this.#statements.byTime.get(time)) as number | undefined) ?? 0;
  }

  /** When the event at a position was written; nothing where there is none. */
  timeOf(position: Position): string | undefined {
    return this.#run(() => this.#statements.timeOf.get(position)) as string | undefined;
  }

  /** How many events lie at positions that none can have. */
  strayEvents(): number {
    return this.#run(() => this.#statements.strays.get() as number);
  }

  /** The event that the kept read models are of. */
  readModelsPosition(): Position {
    const position = this.#run(() => this.#statements.checkpoint.get(READ_MODELS));
    return (position as number | undefined) ?? 0;
  }

  /** The first table, index or trigger that is not as the migrations make it. */
  schemaDifference(): SchemaDifference | undefined {
    return this.#run(() => schemaDifference(this.#client));
  }

  tables(): TableReader {
    return tableReader(this.#client);
  }

  /** Everything read within `work` is of one moment, whatever is written meanwhile. */
  atOneMoment<T>(work: () => T): T {
    return this.#run(() => this.#client.transaction(work)());
  }

  close(): void {
    this.#client.close();
  }

  #run<T>(work: () => T): T {
    return namingFailures(work, this.#file);
  }
}

function eventOf(row: EventRow): StoredEvent {
  return Object.freeze({ ...row, data: parse(row.data) });
}

/** Says nothing of the text: it belongs in no message. */
function parse(text: string): JsonObject {
  try {
    return JSON.parse(text) as JsonObject;
  } catch {
    throw new Error('its data is not JSON');
  }
}

function prepareStatements(client: Database.Database) {
  const columns = `position, stream, stream_version AS streamVersion, type, data, actor, reason,
    request_id AS requestId, occurred_at AS occurredAt, epoch, prev_hash AS prevHash, hash`;
  return {
    head: client.prepare('SELECT max(position) FROM events').pluck(),
    epoch: client.prepare('SELECT epoch FROM writer').pluck(),
    lastEpoch: client.prepare('SELECT max(epoch) FROM events').pluck(),
    page: client.prepare(
      `SELECT ${columns} FROM events WHERE position > $position ORDER BY position LIMIT $page`,
    ),
    facts: client
      .prepare(
        `SELECT position, stream, type, data, epoch FROM events WHERE position > ?
         ORDER BY position LIMIT ?`,
      )
      .raw(),
    byTime: client
      .prepare(
        `SELECT position FROM events WHERE occurred_at <= ?
         ORDER BY occurred_at DESC, position DESC LIMIT 1`,
      )
      .pluck(),
    timeOf: client.prepare('SELECT occurred_at FROM events WHERE position = ?').pluck(),
    strays: client.prepare('SELECT count(*) FROM events WHERE position <= 0').pluck(),
    checkpoint: client.prepare('SELECT position FROM checkpoints WHERE name = ?').pluck(),
  };
}
