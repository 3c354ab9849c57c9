/**
 * Finds events in SQLite by the index that serves best. Knows the columns, not what events mean.
 *
 * The index is named, never left to the planner: without statistics that one takes any index for as
 * good as any other. A filter no index was named for is checked on the rows of the stretch.
 */
import type Database from 'better-sqlite3';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { EventFilter, EventSearch } from './event-query.ts';
import { stretchOf } from './event-query.ts';
import type { events } from './tables.ts';

type EventRow = typeof events.$inferSelect;

interface Condition {
  readonly sql: string;
  /** Absent: there is none, or none that gives events in the order of the log. */
  readonly index?: string;
}

/** The rarest first: by its index the search goes. */
const CONDITIONS: Readonly<Record<keyof EventFilter, Condition>> = Object.freeze({
  requestId: { sql: 'request_id = @requestId', index: 'events_by_request' },
  stream: { sql: 'stream = @stream', index: 'events_by_stream' },
  types: { sql: 'type IN (SELECT value FROM json_each(@types))', index: 'events_by_type' },
  actor: { sql: 'actor = @actor', index: 'events_by_actor' },
  since: { sql: 'occurred_at >= @since' },
  until: { sql: 'occurred_at < @until' },
});
const FILTERS = Object.freeze(Object.keys(CONDITIONS)) as readonly (keyof EventFilter)[];

const COLUMNS = `position, stream, stream_version AS streamVersion, type, data, actor, reason,
  request_id AS requestId, occurred_at AS occurredAt, epoch, prev_hash AS prevHash, hash`;

/**
 * Positions beyond which the streams of a stretch are found by their index, which holds positions
 * but no data: 0.1 s for a million events in place of 1.5 s.
 */
const LONG_STRETCH = 100_000;

export class SqliteEventSearch {
  readonly #client: Database.Database;
  /** By their text: at most one for each set of filters and each order, 128. */
  readonly #statements = new Map<string, Database.Statement>();

  constructor(client: Database.Database) {
    this.#client = client;
  }

  /** The rows of the stretch that the search looks at. */
  rows(search: EventSearch): readonly EventRow[] {
    const given = { ...search, ...stretchOf(search), types: JSON.stringify(search.types) };
    return this.#statement(searchText(search)).all(given) as EventRow[];
  }

  lastByTime(time: string, bound: 'before' | 'up_to'): Position {
    const row = this.#statement(
      `SELECT position FROM events INDEXED BY events_by_time
       WHERE occurred_at ${bound === 'before' ? '<' : '<='} @time
       ORDER BY occurred_at DESC, position DESC LIMIT 1`,
    ).get({ time }) as { readonly position: Position } | undefined;
    return row?.position ?? 0;
  }

  nextStream(after: string): string | undefined {
    const row = this.#statement(
      `SELECT stream FROM events INDEXED BY events_by_stream
       WHERE stream > @after ORDER BY stream LIMIT 1`,
    ).get({ after }) as { readonly stream: string } | undefined;
    return row?.stream;
  }

  streamsWithin(after: Position, before: Position): readonly string[] {
    const path = before - after > LONG_STRETCH ? 'INDEXED BY events_by_stream' : 'NOT INDEXED';
    const rows = this.#statement(
      `SELECT DISTINCT stream FROM events ${path} WHERE position > @after AND position < @before`,
    ).all({ after, before }) as { readonly stream: string }[];
    return rows.map(({ stream }) => stream);
  }

  #statement(text: string): Database.Statement {
    const known = this.#statements.get(text);
    if (known !== undefined) return known;
    const statement = this.#client.prepare(text);
    this.#statements.set(text, statement);
    return statement;
  }
}

/** The statement of a search, by which filters it has. */
export function searchText(search: EventSearch): string {
  const given = FILTERS.filter((name) => search[name] !== undefined);
  const index = given.map((name) => CONDITIONS[name].index).find((name) => name !== undefined);
  const conditions = ['position > @after', 'position < @before'];
  for (const name of given) conditions.push(CONDITIONS[name].sql);
  return [
    `SELECT ${COLUMNS} FROM events`,
    index === undefined ? 'NOT INDEXED' : `INDEXED BY ${index}`,
    `WHERE ${conditions.join(' AND ')}`,
    `ORDER BY position ${search.order} LIMIT @limit`,
  ].join(' ');
}
