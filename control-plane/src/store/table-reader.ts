/**
 * The tables of a database as plain rows, whatever is in them: for comparing and copying read
 * models that another part of the code knows the meaning of.
 */
import type Database from 'better-sqlite3';

export type Row = Readonly<Record<string, unknown>>;

export interface TableReader {
  /** Names of all tables but SQLite's own. */
  names(): readonly string[];
  columns(table: string): readonly string[];
  keyColumns(table: string): readonly string[];
  /** One at a time; nothing else may be done with the database until the last. */
  rows(table: string): Iterable<Row>;
  /** Finds rows of `table` by the columns of their key, in the order of `keyColumns`. */
  finder(table: string): (key: readonly unknown[]) => Row | undefined;
}

interface Column {
  readonly name: string;
  /** Place within the key, from 1; 0 for a column that is not in it. */
  readonly pk: number;
}

export function tableReader(client: Database.Database): TableReader {
  const columns = (table: string) => client.pragma(`table_info(${quoted(table)})`) as Column[];
  const keyColumns = (table: string) =>
    columns(table)
      .filter(({ pk }) => pk > 0)
      .toSorted((a, b) => a.pk - b.pk)
      .map(({ name }) => name);
  return {
    names: () =>
      client
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .pluck()
        .all() as string[],
    columns: (table) => columns(table).map(({ name }) => name),
    keyColumns,
    rows: (table) => client.prepare(`SELECT * FROM ${quoted(table)}`).iterate() as Iterable<Row>,
    finder: (table) => {
      const where = keyColumns(table).map((name) => `${quoted(name)} IS ?`);
      const find = client.prepare(`SELECT * FROM ${quoted(table)} WHERE ${where.join(' AND ')}`);
      return (key) => find.get(...key) as Row | undefined;
    },
  };
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
