/**
 * Events as rows, read page by page: whoever takes his time with one page holds up nobody.
 */
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { JsonObject } from './canonical-json.ts';
import type { StoredEvent } from './event.ts';
import type { EventStatements } from './event-statements.ts';
import { parsed } from './failures.ts';
import type { events } from './tables.ts';

const PAGE_EVENTS = 500;

export type EventRow = typeof events.$inferSelect;

export class SqliteEventPages {
  readonly #statements: EventStatements;
  readonly #run: <T>(work: () => T) => T;

  /** @param run names failures of what it runs. */
  constructor(statements: EventStatements, run: <T>(work: () => T) => T) {
    this.#statements = statements;
    this.#run = run;
  }

  *readAll(after: Position, limit = Infinity): Iterable<StoredEvent> {
    let position = after;
    yield* this.#pages(limit, (page) => {
      const rows = this.#statements.page.all({ position, page });
      position = rows.at(-1)?.position ?? position;
      return rows;
    });
  }

  *readStream(stream: string, afterVersion = 0, limit = Infinity): Iterable<StoredEvent> {
    let version = afterVersion;
    yield* this.#pages(limit, (page) => {
      const rows = this.#statements.streamPage.all({ stream, version, page });
      version = rows.at(-1)?.streamVersion ?? version;
      return rows;
    });
  }

  /** @throws STORE_DAMAGED when its data is not as it was written. */
  eventOf(row: EventRow): StoredEvent {
    return this.#run(() => {
      const data = parsed(row.data, `event ${row.position}`) as JsonObject;
      return Object.freeze({ ...row, data });
    });
  }

  *#pages(limit: number, read: (page: number) => readonly EventRow[]): Iterable<StoredEvent> {
    for (let left = limit; left > 0; left -= PAGE_EVENTS) {
      const page = Math.min(left, PAGE_EVENTS);
      const rows = this.#run(() => read(page));
      for (const row of rows) yield this.eventOf(row);
      if (rows.length < page) return;
    }
  }
}
