/**
 * Read models folded a second time, in memory, beside the ones that are kept: to see whether those
 * are what the events say, or to take their place. Knows tables and rows, not what they mean: a new
 * read model is compared and replaced like the others.
 */
import type Database from 'better-sqlite3';
import { isDeepStrictEqual } from 'node:util';
import type { StoredEvent } from './event.ts';
import { HeldViews } from './held-views.ts';
import type { Project } from './read-models.ts';
import { SqliteApiKeys } from './sqlite-api-keys.ts';
import { openReadModelsInMemory, UNFOLDED_TABLES } from './sqlite-database.ts';
import { SqliteServers } from './sqlite-servers.ts';
import { SqliteReadModels } from './sqlite-read-models.ts';
import { quoted, tableReader } from './table-reader.ts';
import type { Row, TableReader } from './table-reader.ts';

/** The first thing in the kept read models that the events do not say. */
export interface Difference {
  readonly table: string;
  /** The key of its row; nothing when it is the table as a whole. */
  readonly row?: string;
  /** The field, as in `data.pool.maxConnections`; nothing when it is the row as a whole. */
  readonly field?: string;
  readonly reason: string;
}

export class ShadowReadModels {
  readonly #database = openReadModelsInMemory();
  readonly #views: HeldViews;
  readonly #own = tableReader(this.#database.client);
  readonly #project: Project;

  constructor(project: Project) {
    this.#project = project;
    const apiKeys = new SqliteApiKeys(this.#database, (work) => work());
    const servers = new SqliteServers(this.#database, (work) => work());
    this.#views = new HeldViews(new SqliteReadModels(this.#database, apiKeys, servers));
    // One transaction for all there ever is: nobody else sees it, and nothing of it is kept.
    this.#database.client.exec('BEGIN');
  }

  /**
   * Folds one more event, before anything is asked.
   * @throws what the projection throws for an event it cannot read
   */
  apply(event: StoredEvent): void {
    this.#project(event, this.#views);
  }

  /** The first difference of what is kept from what was folded, or nothing. */
  differenceIn(kept: TableReader): Difference | undefined {
    this.#views.settle();
    const present = new Set(kept.names());
    for (const table of this.#folded()) {
      const difference = present.has(table)
        ? findDifference(table, this.#own, kept)
        : { table, reason: 'is not there' };
      if (difference !== undefined) return difference;
    }
    return undefined;
  }

  /** Puts what was folded in place of what `client` keeps, within the caller's transaction. */
  replaceIn(client: Database.Database): void {
    this.#views.settle();
    for (const table of this.#folded()) {
      const columns = this.#own.columns(table).map(quoted);
      client.exec(`DELETE FROM ${quoted(table)}`);
      const insert = client.prepare(
        `INSERT INTO ${quoted(table)} (${columns.join(', ')})` +
          ` VALUES (${columns.map(() => '?').join(', ')})`,
      );
      for (const row of this.#own.rows(table)) insert.run(...Object.values(row));
    }
  }

  #folded(): readonly string[] {
    return this.#own.names().filter((name) => !UNFOLDED_TABLES.includes(name));
  }

  close(): void {
    this.#database.client.close();
  }
}

function findDifference(
  table: string,
  folded: TableReader,
  kept: TableReader,
): Difference | undefined {
  const columns = folded.keyColumns(table);
  const keyOf = (row: Row) => columns.map((name) => row[name]);
  const nameOf = (row: Row) => keyOf(row).join('/');
  const findKept = kept.finder(table);
  for (const expected of folded.rows(table)) {
    const row = nameOf(expected);
    const actual = findKept(keyOf(expected));
    if (actual === undefined) return { table, row, reason: 'is not there' };
    const field = differingField(expected, actual);
    if (field !== undefined) return { table, row, field, reason: 'is not what the events say' };
  }
  const findFolded = folded.finder(table);
  for (const actual of kept.rows(table)) {
    if (findFolded(keyOf(actual)) !== undefined) continue;
    return { table, row: nameOf(actual), reason: 'is there, and no event says so' };
  }
  return undefined;
}

function differingField(expected: Row, actual: Row): string | undefined {
  for (const name of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
    if (expected[name] === actual[name]) continue;
    const path = differingPath(asJson(expected[name]), asJson(actual[name]));
    // Texts that differ and mean the same JSON are the same.
    if (path !== undefined) return [name, ...path].join('.');
  }
  return undefined;
}

/** The names that lead to the first place where they differ; nothing when they do not. */
function differingPath(expected: unknown, actual: unknown): readonly string[] | undefined {
  if (isDeepStrictEqual(expected, actual)) return undefined;
  if (!isObject(expected) || !isObject(actual)) return [];
  for (const name of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
    const path = differingPath(expected[name], actual[name]);
    if (path !== undefined) return [name, ...path];
  }
  return [];
}

function isObject(value: unknown): value is Row {
  return typeof value === 'object' && value !== null;
}

/** The object or list a column holds as JSON; any other value as it is. */
function asJson(value: unknown): unknown {
  if (typeof value !== 'string' || !/^[[{]/.test(value)) return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}
