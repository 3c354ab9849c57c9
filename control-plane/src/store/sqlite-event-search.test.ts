/** By which index SQLite searches: a filter must not read what it does not want. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openDatabase } from './sqlite-database.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import { searchText } from './sqlite-event-search.ts';
import type { EventSearch } from './event-query.ts';

let directory: string;
let database: SqliteDatabase;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'dbbouncer-search-'));
  database = openDatabase(join(directory, 'events.db'), 'normal');
});
after(() => {
  database.client.close();
  rmSync(directory, { recursive: true });
});

const PAGE = { after: 0, before: 20_001, limit: 100 } as const;

/** What SQLite says it will do. */
function planOf(search: EventSearch): string {
  const given = { ...search, types: JSON.stringify(search.types) };
  const statement = database.client.prepare(`EXPLAIN QUERY PLAN ${searchText(search)}`);
  const steps = statement.all(given) as { readonly detail: string }[];
  return steps.map(({ detail }) => detail).join('; ');
}

describe('the search for events', () => {
  const range = 'AND rowid>? AND rowid<?';
  const cases: readonly (readonly [Partial<EventSearch>, string])[] = [
    [{ requestId: 'r' }, `INDEX events_by_request (request_id=? ${range})`],
    [{ stream: 's' }, `INDEX events_by_stream (stream=? ${range})`],
    [{ actor: 'a' }, `INDEX events_by_actor (actor=? ${range})`],
    [{ types: ['T', 'U'] }, `INDEX events_by_type (type=? ${range})`],
    [{ actor: 'a', types: ['T'] }, `INDEX events_by_type (type=? ${range})`],
    [{ actor: 'a', stream: 's', requestId: 'r' }, 'INDEX events_by_request'],
    [{ since: 't', until: 't' }, 'INTEGER PRIMARY KEY (rowid>? AND rowid<?)'],
    [{}, 'INTEGER PRIMARY KEY (rowid>? AND rowid<?)'],
  ];

  for (const [filter, plan] of cases) {
    it(`goes by ${plan} for ${Object.keys(filter).join(', ') || 'nothing'}`, () => {
      for (const order of ['asc', 'desc'] as const) {
        const found = planOf({ ...PAGE, ...filter, order });
        assert.ok(found.includes(plan), found);
        assert.doesNotMatch(found, /SCAN events/);
        // Types are searched one by one; what is sorted then is at most one stretch.
        if (filter.types === undefined) assert.doesNotMatch(found, /TEMP B-TREE/);
      }
    });
  }
});
