/**
 * Queries that drizzle has written, run by SQLite alone: what drizzle prepares looks at every
 * placeholder and every column anew each time, which takes longer than the query does. For the
 * statements of every write; the others stay as drizzle prepares them.
 * Owns: filling in values and naming columns. Columns are text and integers, which mean the same on
 * both sides.
 */
import type Database from 'better-sqlite3';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { Param, Placeholder } from './drizzle.ts';

interface Written {
  toSQL(): { readonly sql: string; readonly params: readonly unknown[] };
}

interface Selection<Row> extends Written {
  readonly _: { readonly selectedFields: object };
  prepare(): { get(values?: Record<string, unknown>): Row | undefined };
}

type Values = Readonly<Record<string, unknown>>;

export interface CompiledSelection<Row> {
  get(values?: Values): Row | undefined;
  all(values?: Values): Row[];
}

export interface CompiledChange {
  run(values: Values): void;
}

/** Of a selection; the rows have the fields it names. */
export function compiledSelection<Row extends object>(
  client: Database.Database,
  query: Selection<Row>,
): CompiledSelection<Row> {
  const { sql, params } = query.toSQL();
  const statement = client.prepare<unknown[], unknown[]>(sql).raw();
  const names = Object.keys(query._.selectedFields);
  const fill = fillerOf(params);
  return {
    get(values = {}) {
      const row = statement.get(...fill(values));
      return row === undefined ? undefined : (named(names, row) as Row);
    },
    all: (values = {}) => statement.all(...fill(values)).map((row) => named(names, row) as Row),
  };
}

/** Of an insertion, an update or a deletion. */
export function compiledChange(client: Database.Database, query: Written): CompiledChange {
  const { sql, params } = query.toSQL();
  const statement = client.prepare(sql);
  const fill = fillerOf(params);
  return { run: (values) => void statement.run(...fill(values)) };
}

function named(names: readonly string[], values: readonly unknown[]): object {
  const row: Record<string, unknown> = {};
  for (let i = 0; i < names.length; i++) row[names[i] ?? ''] = values[i];
  return row;
}

/** Fills in what has a name and leaves what is fixed. */
function fillerOf(params: readonly unknown[]): (values: Values) => unknown[] {
  const parts = params.map(partOf);
  return (values) =>
    parts.map((part) => {
      if ('value' in part) return part.value;
      assert(part.name in values, 'every placeholder is given a value');
      return values[part.name];
    });
}

type Part = { readonly name: string } | { readonly value: unknown };

function partOf(param: unknown): Part {
  const placeholder = param instanceof Param ? (param.value as unknown) : param;
  return placeholder instanceof Placeholder ? { name: placeholder.name } : { value: param };
}
