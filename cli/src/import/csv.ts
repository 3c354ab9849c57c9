/**
 * A CSV file as tenants: its first line names the columns, which are the fields of a tenant, each
 * further line is one. Pure. Leaves: the format to the package csv-parse.
 * Source: RFC 4180.
 */
import { CsvError, parse } from 'csv-parse/sync';
import { explainIssues, nearestName } from '@dbbouncer/shared/contract/explain.ts';
import { POOL_NUMBER_FIELDS } from '@dbbouncer/shared/contract/pool-settings.ts';
import {
  tenantCreateSchema,
  tenantInFileSchema,
} from '@dbbouncer/shared/contract/tenant-resource.ts';
import type { WrittenTenant } from '@dbbouncer/shared/contract/written-tenant.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Findings, Spot } from './findings.ts';
import type { Imported } from './imported.ts';

export interface CsvSource {
  /** For people. */
  readonly file: string;
  readonly text: string;
  readonly delimiter: string;
}

interface Row {
  readonly record: readonly string[];
  /** The line it begins in. */
  readonly line: number;
}

const RECORD_CHARS_MAX = 1_048_576;
const NUMBERS: ReadonlySet<string> = new Set(['port', ...POOL_NUMBER_FIELDS]);
/** In JSON; a list of names also with ";" between them. */
const STRUCTURES: ReadonlySet<string> = new Set(['users', 'access', 'server_tls', 'auth_query']);
const COLUMNS: readonly string[] = ['id', ...Object.keys(tenantInFileSchema.shape)].filter(
  (name) => name !== 'adopt',
);

export function importCsv(source: CsvSource, findings: Findings): Imported {
  const [head, ...rows] = rowsOf(source, findings);
  const tenants = new Map<string, { tenant: WrittenTenant; spot: Spot; id: string }>();
  if (head === undefined && findings.faults.length === 0) {
    const text = 'the file is empty: its first line names columns';
    findings.fault({ file: source.file, line: 1 }, text);
  }
  const columns = head === undefined ? [] : columnsOf(head, source.file, findings);
  if (findings.faults.length === 0) {
    for (const row of rows) {
      const made = tenantOf(row, columns, source.file, findings);
      if (made === undefined) continue;
      const twin = tenants.get(tenantKey(made.id));
      if (twin === undefined) tenants.set(tenantKey(made.id), made);
      else {
        const first = `"${twin.id}" in line ${twin.spot.line}`;
        findings.fault(made.spot, `is the same tenant as ${first}: ids ignore case`);
      }
    }
  }
  const byId = [...tenants.values()].map(({ id, tenant, spot }) => [id, { tenant, spot }] as const);
  return { source: source.file, settings: {}, defaults: {}, tenants: new Map(byId) };
}

function rowsOf({ file, text, delimiter }: CsvSource, findings: Findings): readonly Row[] {
  try {
    const found = parse(text, {
      bom: true,
      delimiter,
      info: true,
      relax_column_count: true,
      skip_empty_lines: true,
      max_record_size: RECORD_CHARS_MAX,
    }) as unknown as readonly { record: readonly string[]; info: { lines: number } }[];
    // What is told is the line it ends in.
    return found.map(({ record, info }) => ({ record, line: info.lines - lineEndsIn(record) }));
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const line = Number(error['lines'] ?? 1);
    findings.fault({ file, line }, PROBLEMS[error.code] ?? 'is not CSV as of RFC 4180');
    return [];
  }
}

/** In words of ours: those of the package quote the text. */
const PROBLEMS: Readonly<Record<string, string>> = Object.freeze({
  CSV_QUOTE_NOT_CLOSED: 'a quote that begins here or before is not closed',
  CSV_INVALID_CLOSING_QUOTE:
    'a closing quote is followed by text; within quotes it is written twice',
  INVALID_OPENING_QUOTE: 'a quote stands in a value without quotes',
  CSV_MAX_RECORD_SIZE: `has more than ${RECORD_CHARS_MAX} characters`,
});

function lineEndsIn(record: readonly string[]): number {
  return record.reduce((sum, value) => sum + (value.match(/\r\n|\n|\r/g)?.length ?? 0), 0);
}

/** Faults are told with the number of the column. */
function columnsOf({ record, line }: Row, file: string, findings: Findings): readonly string[] {
  const names = record.map((name) => name.trim());
  for (const [index, name] of names.entries()) {
    const spot = { file, line };
    if (!COLUMNS.includes(name)) {
      findings.fault(spot, `column ${index + 1} ${unknownName(name)}`);
    } else if (names.indexOf(name) < index) {
      findings.fault(spot, `column ${index + 1}, ${name}, is there twice`);
    }
  }
  for (const needed of ['id', 'host', 'dbname', 'username', 'password']) {
    if (!names.includes(needed)) findings.fault({ file, line }, `there is no column ${needed}`);
  }
  return names;
}

/** Where the first line is no head, a password may stand here: it is not repeated. */
function unknownName(name: string): string {
  const near = nearestName(name, COLUMNS);
  return near === undefined
    ? `is called like no field of a tenant; known are ${COLUMNS.join(', ')}`
    : `is called like no field of a tenant; did you mean ${near}?`;
}

function tenantOf(row: Row, columns: readonly string[], file: string, findings: Findings) {
  const spot = { file, line: row.line };
  if (row.record.length !== columns.length) {
    const text = `has ${row.record.length} values; the first line names ${columns.length} columns`;
    findings.fault(spot, text);
    return undefined;
  }
  const fields: Record<string, unknown> = { db_type: 'postgres' };
  for (const [index, name] of columns.entries()) {
    const written = row.record[index] ?? '';
    if (written === '') continue;
    const value = valueOf(name, written);
    if (value === undefined) {
      findings.fault(spot, `column ${index + 1}, ${name}, must be JSON`);
      return undefined;
    }
    fields[name] = value;
  }
  const read = tenantCreateSchema.safeParse(fields);
  if (read.success) {
    const { id, ...tenant } = fields;
    return { id: String(id), tenant, spot };
  }
  for (const { keys, path, message } of explainIssues(read.error, tenantCreateSchema, fields)) {
    const column = columns.indexOf(String(keys[0])) + 1;
    findings.fault(spot, `${column === 0 ? '' : `column ${column}, `}${path} ${message}`);
  }
  return undefined;
}

/** Nothing when it should be JSON and is not. */
function valueOf(name: string, written: string): unknown {
  if (NUMBERS.has(name)) return /^-?\d+(\.\d+)?$/.test(written) ? Number(written) : written;
  if (name === 'databases' && !written.trimStart().startsWith('[')) return written.split(';');
  if (name !== 'databases' && !STRUCTURES.has(name)) return written;
  try {
    return JSON.parse(written) as unknown;
  } catch {
    return undefined;
  }
}
