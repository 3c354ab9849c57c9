/**
 * What a server sends as the result of a statement: rows, their description, tags, the begin of a
 * COPY. Rows are text here: for the admin console and for probes, never for relayed traffic.
 * Source: PostgreSQL 18 manual, "Message Formats".
 */
import { ByteReader } from '../byte-reader.ts';
import type { TextEncoding } from '../byte-reader.ts';
import { WireError } from '../wire-error.ts';
import { backendFrame } from './backend-frame.ts';
import { BACKEND } from './message-types.ts';
import type { BackendFrame } from './message-types.ts';

/** Int16 counts are unsigned on the wire; a server's result has at most 1664 columns. */
const COLUMNS_MAX = 0xffff;
/** The least a column's description takes: an empty name and its numbers. */
const COLUMN_BYTES_MIN = 19;
const TEXT_OID = 25;

export interface Column {
  readonly name: string;
  /** 0 where the column is not a table's. */
  readonly tableOid: number;
  readonly tableColumn: number;
  readonly typeOid: number;
  /** Negative for types of variable width. */
  readonly typeBytes: number;
  readonly typeModifier: number;
  readonly format: Format;
}

export type Format = 'text' | 'binary';

export type TextRow = readonly (string | null)[];

/** A column of type text that belongs to no table. */
export function textColumn(name: string): Column {
  return {
    name,
    tableOid: 0,
    tableColumn: 0,
    typeOid: TEXT_OID,
    typeBytes: -1,
    typeModifier: -1,
    format: 'text',
  };
}

export function encodeRowDescription(columns: readonly Column[]): BackendFrame {
  refuseColumnCount('RowDescription', columns.length);
  return backendFrame(BACKEND.RowDescription, (body) => {
    body.uint16(columns.length);
    for (const column of columns) {
      body.cstring(column.name).uint32(column.tableOid).int16(column.tableColumn);
      body.uint32(column.typeOid).int16(column.typeBytes).int32(column.typeModifier);
      body.int16(formatCode(column.format));
    }
  });
}

export function decodeRowDescription(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): readonly Column[] {
  const reader = new ByteReader('RowDescription', buffer, start, end);
  const count = reader.uint16();
  reader.expectRoomFor(count, COLUMN_BYTES_MIN);
  const columns = Array.from({ length: count }, () => readColumn(reader));
  reader.end();
  return columns;
}

function readColumn(reader: ByteReader): Column {
  return {
    name: reader.cstring(),
    tableOid: reader.uint32(),
    tableColumn: reader.int16(),
    typeOid: reader.uint32(),
    typeBytes: reader.int16(),
    typeModifier: reader.int32(),
    format: readFormat('RowDescription', reader.int16()),
  };
}

export function encodeDataRow(row: TextRow): BackendFrame {
  refuseColumnCount('DataRow', row.length);
  return backendFrame(BACKEND.DataRow, (body) => {
    body.uint16(row.length);
    for (const value of row) {
      if (value === null) body.int32(-1);
      else body.int32(Buffer.byteLength(value)).text(value);
    }
  });
}

export function decodeDataRow(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
  encoding: TextEncoding = 'utf8',
): TextRow {
  const reader = new ByteReader('DataRow', buffer, start, end);
  const count = reader.uint16();
  reader.expectRoomFor(count, 4);
  const row = Array.from({ length: count }, () => {
    const length = reader.int32();
    return length === -1 ? null : reader.bytes(length).toString(encoding);
  });
  reader.end();
  return row;
}

/** @param tag such as `SELECT 3` */
export function encodeCommandComplete(tag: string): BackendFrame {
  return backendFrame(BACKEND.CommandComplete, (body) => body.cstring(tag));
}

export function decodeCommandComplete(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): string {
  const reader = new ByteReader('CommandComplete', buffer, start, end);
  const tag = reader.cstring();
  reader.end();
  return tag;
}

/** The body of CopyInResponse, CopyOutResponse and CopyBothResponse. */
export interface CopyResponse {
  readonly format: Format;
  readonly columnFormats: readonly Format[];
}

export function encodeCopyInResponse(copy: CopyResponse): BackendFrame {
  return encodeCopyResponse(BACKEND.CopyInResponse, copy);
}

export function encodeCopyOutResponse(copy: CopyResponse): BackendFrame {
  return encodeCopyResponse(BACKEND.CopyOutResponse, copy);
}

export function encodeCopyBothResponse(copy: CopyResponse): BackendFrame {
  return encodeCopyResponse(BACKEND.CopyBothResponse, copy);
}

function encodeCopyResponse(type: number, { format, columnFormats }: CopyResponse): BackendFrame {
  refuseColumnCount('CopyResponse', columnFormats.length);
  return backendFrame(type, (body) => {
    body.int8(formatCode(format)).uint16(columnFormats.length);
    for (const columnFormat of columnFormats) body.int16(formatCode(columnFormat));
  });
}

export function decodeCopyResponse(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): CopyResponse {
  const reader = new ByteReader('CopyResponse', buffer, start, end);
  const format = readFormat('CopyResponse', reader.int8());
  const count = reader.uint16();
  reader.expectRoomFor(count, 2);
  const columnFormats = Array.from({ length: count }, () =>
    readFormat('CopyResponse', reader.int16()),
  );
  reader.end();
  return { format, columnFormats };
}

function formatCode(format: Format): number {
  return format === 'binary' ? 1 : 0;
}

function readFormat(what: string, code: number): Format {
  if (code !== 0 && code !== 1) throw new WireError(`${what}: format ${code}, 0 or 1 expected`);
  return code === 1 ? 'binary' : 'text';
}

function refuseColumnCount(what: string, count: number): void {
  if (count > COLUMNS_MAX) {
    throw new WireError(`${what}: ${count} columns, ${COLUMNS_MAX} is the limit`);
  }
}
