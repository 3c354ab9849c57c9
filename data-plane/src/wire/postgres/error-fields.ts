/**
 * The fields of ErrorResponse and NoticeResponse.
 * Source: PostgreSQL 18 manual, "Error and Notice Message Fields".
 */
import { ByteReader } from '../byte-reader.ts';
import type { ByteWriter } from '../byte-writer.ts';
import { SqlState } from './sqlstate.ts';

export interface ErrorFields {
  /** May be translated: ERROR, FATAL, PANIC; WARNING, NOTICE, DEBUG, INFO, LOG. */
  readonly severity: string;
  /** Never translated; servers before 9.6 do not send it. */
  readonly severityNonLocalized?: string;
  /** The SQLSTATE. */
  readonly code: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
  /** In characters of the query text, from 1. */
  readonly position?: string;
  readonly internalPosition?: string;
  readonly internalQuery?: string;
  readonly where?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly dataType?: string;
  readonly constraint?: string;
  readonly file?: string;
  readonly line?: string;
  readonly routine?: string;
}

type FieldName = keyof ErrorFields;

/** By the letter on the wire, in the order servers send them. */
const FIELD_OF_LETTER = {
  S: 'severity',
  V: 'severityNonLocalized',
  C: 'code',
  M: 'message',
  D: 'detail',
  H: 'hint',
  P: 'position',
  p: 'internalPosition',
  q: 'internalQuery',
  W: 'where',
  s: 'schema',
  t: 'table',
  c: 'column',
  d: 'dataType',
  n: 'constraint',
  F: 'file',
  L: 'line',
  R: 'routine',
} as const satisfies Readonly<Record<string, FieldName>>;

const FIELD_OF_BYTE: readonly (FieldName | undefined)[] = byByte(FIELD_OF_LETTER);

/**
 * Reads the fields; ones this list does not know are skipped, as the manual asks. What every server
 * sends but a broken one leaves out reads as severity ERROR, code XX000, an empty message.
 * @throws WireError
 */
export function decodeErrorFields(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): ErrorFields {
  const reader = new ByteReader('ErrorResponse', buffer, start, end);
  const fields: Partial<Record<FieldName, string>> = {};
  for (let letter = reader.uint8(); letter !== 0; letter = reader.uint8()) {
    const name = FIELD_OF_BYTE[letter];
    if (name === undefined) reader.skipCstring();
    else fields[name] = reader.cstring();
  }
  reader.end();
  return { severity: 'ERROR', code: SqlState.internal_error, message: '', ...fields };
}

/**
 * The untranslated severity if given, else the other; for a body of which only the beginning may
 * have arrived. Empty when not even that has.
 */
export function peekSeverity(buffer: Buffer, start = 0, end: number = buffer.length): string {
  let severity = '';
  for (let at = start; at < end;) {
    const name = FIELD_OF_BYTE[buffer[at] as number];
    const length = buffer.subarray(at + 1, end).indexOf(0);
    if (length === -1 || (name !== 'severity' && name !== 'severityNonLocalized')) break;
    severity = buffer.toString('utf8', at + 1, at + 1 + length);
    at += length + 2;
  }
  return severity;
}

/** Writes the fields that are given, each with its letter, and the zero byte after the last. */
export function writeErrorFields(writer: ByteWriter, fields: ErrorFields): void {
  for (const [letter, name] of Object.entries(FIELD_OF_LETTER)) {
    const text = fields[name];
    // A zero byte would end the field; texts can quote what a peer sent, so it is replaced rather
    // than refused.
    if (text !== undefined) writer.text(letter).cstring(text.replaceAll('\0', '\uFFFD'));
  }
  writer.uint8(0);
}

function byByte(fields: Readonly<Record<string, FieldName>>): readonly (FieldName | undefined)[] {
  const table: (FieldName | undefined)[] = Array.from({ length: 256 });
  for (const [letter, name] of Object.entries(fields)) table[letter.charCodeAt(0)] = name;
  return table;
}
