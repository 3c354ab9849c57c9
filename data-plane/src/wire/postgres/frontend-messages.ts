/**
 * Messages a client sends, read and written, by the manual's names.
 * Owns: bodies. Leaves: frame boundaries and size limits to frame-scanner.ts, the first packet to
 * startup-message.ts.
 * Decoders take the body as `FrameHandler.frame()` gives it, `buffer[start, end)`; they refuse a
 * body that is longer or shorter than its fields. Text is UTF-8 unless told otherwise: 'latin1'
 * keeps every byte, so it is right for keys (names of statements and portals, SQL text) whatever
 * the client's encoding. Encoders are not for the hot path.
 * Source: PostgreSQL 18 manual, "Message Formats".
 */
import { serialize } from 'pg-protocol/dist/serializer';
import { ByteReader } from '../byte-reader.ts';
import type { TextEncoding } from '../byte-reader.ts';
import { ByteWriter, refuseZeroByte } from '../byte-writer.ts';
import { WireError } from '../wire-error.ts';
import { FRONTEND } from './message-types.ts';
import type { FrontendFrame } from './message-types.ts';

export { FRONTEND, FRONTEND_LOGIN_TYPES, FRONTEND_TYPES } from './message-types.ts';
export type { FrontendFrame } from './message-types.ts';

/** Int16 counts are unsigned on the wire: as many parameters as a statement can have. */
const COUNT_MAX = 0xffff;

/** What Describe and Close are about. */
export type Target = 'statement' | 'portal';
const TARGET_STATEMENT = 0x53; // S
const TARGET_PORTAL = 0x50; // P

export interface NamedTarget {
  readonly target: Target;
  /** Empty: the unnamed one. */
  readonly name: string;
}

export interface Query {
  readonly sql: string;
}

export interface Parse {
  readonly statement: string;
  readonly sql: string;
  /** Type OIDs, 0 where the server is to infer. */
  readonly parameterTypes: readonly number[];
}

export interface Bind {
  readonly portal: string;
  readonly statement: string;
}

export interface Execute {
  readonly portal: string;
  /** 0: no limit. */
  readonly maxRows: number;
}

export interface SASLInitialResponse {
  readonly mechanism: string;
  /** Borrowed; undefined when the client sent none. */
  readonly data: Buffer | undefined;
}

export function decodeQuery(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
  encoding: TextEncoding = 'utf8',
): Query {
  const reader = new ByteReader('Query', buffer, start, end);
  const sql = reader.cstring(encoding);
  reader.end();
  return { sql };
}

/**
 * Where the text of a Query ends that begins at `start`; the body up to `end` is whole.
 * @throws WireError when no zero byte ends it, or more follows
 */
export function queryTextEnd(buffer: Buffer, start: number, end: number): number {
  const zero = buffer.indexOf(0, start);
  // Says what is wrong.
  if (zero !== end - 1) decodeQuery(buffer, start, end);
  return zero;
}

export function decodeParse(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
  encoding: TextEncoding = 'utf8',
): Parse {
  const reader = new ByteReader('Parse', buffer, start, end);
  const statement = reader.cstring(encoding);
  const sql = reader.cstring(encoding);
  const count = reader.uint16();
  reader.expectRoomFor(count, 4);
  const parameterTypes = Array.from({ length: count }, () => reader.uint32());
  reader.end();
  return { statement, sql, parameterTypes };
}

/** The names alone; the parameters behind them are neither read nor checked. */
export function decodeBind(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
  encoding: TextEncoding = 'utf8',
): Bind {
  const reader = new ByteReader('Bind', buffer, start, end);
  const portal = reader.cstring(encoding);
  const statement = reader.cstring(encoding);
  return { portal, statement };
}

export function decodeDescribe(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
  encoding: TextEncoding = 'utf8',
): NamedTarget {
  return readTarget(new ByteReader('Describe', buffer, start, end), 'Describe', encoding);
}

export function decodeClose(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
  encoding: TextEncoding = 'utf8',
): NamedTarget {
  return readTarget(new ByteReader('Close', buffer, start, end), 'Close', encoding);
}

export function decodeExecute(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
  encoding: TextEncoding = 'utf8',
): Execute {
  const reader = new ByteReader('Execute', buffer, start, end);
  const portal = reader.cstring(encoding);
  const maxRows = reader.int32();
  reader.end();
  return { portal, maxRows };
}

/** The rows of a COPY, in whatever pieces the client chose; borrowed. */
export function decodeCopyData(buffer: Buffer, start = 0, end: number = buffer.length): Buffer {
  return buffer.subarray(start, end);
}

export function decodeCopyFail(buffer: Buffer, start = 0, end: number = buffer.length): string {
  return readOnlyText('CopyFail', buffer, start, end);
}

export function decodePasswordMessage(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): string {
  return readOnlyText('PasswordMessage', buffer, start, end);
}

export function decodeSASLInitialResponse(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): SASLInitialResponse {
  const reader = new ByteReader('SASLInitialResponse', buffer, start, end);
  const mechanism = reader.cstring();
  const length = reader.int32();
  const data = length === -1 ? undefined : reader.bytes(length);
  reader.end();
  return { mechanism, data };
}

/** The mechanism's own bytes; borrowed. */
export function decodeSASLResponse(buffer: Buffer, start = 0, end: number = buffer.length): Buffer {
  return buffer.subarray(start, end);
}

/** Checks a message without fields: Sync, Flush, Terminate, CopyDone. @throws WireError */
export function decodeEmpty(what: string, start: number, end: number): void {
  if (end !== start) throw new WireError(`${what}: a body of ${end - start} bytes, 0 expected`);
}

export function encodeQuery(sql: string, encoding: TextEncoding = 'utf8'): FrontendFrame {
  refuseZeroByte(sql);
  if (encoding === 'utf8') return frame(serialize.query(sql));
  const writer = new ByteWriter(sql.length + 16).uint8(FRONTEND.Query).int32(0);
  writer.cstring(sql, encoding);
  return frame(writer.patchInt32(1, writer.length - 1).finish());
}

/** Own code: the library complains on the console about names of more than 63 characters. */
export function encodeParse(parse: Parse, encoding: TextEncoding = 'utf8'): FrontendFrame {
  const { statement, sql, parameterTypes } = parse;
  if (parameterTypes.length > COUNT_MAX) {
    throw new WireError(
      `Parse: ${parameterTypes.length} parameter types, ${COUNT_MAX} is the limit`,
    );
  }
  const writer = new ByteWriter(sql.length + 64).uint8(FRONTEND.Parse).int32(0);
  writer.cstring(statement, encoding).cstring(sql, encoding).uint16(parameterTypes.length);
  for (const oid of parameterTypes) writer.uint32(oid);
  return frame(writer.patchInt32(1, writer.length - 1).finish());
}

export interface BindFields {
  /** Default is the unnamed portal. */
  readonly portal?: string;
  /** Default is the unnamed statement. */
  readonly statement?: string;
  /** A string is sent as text, a Buffer as binary. Default is none. */
  readonly values?: readonly (string | Buffer | null)[];
  /** Of all result columns. Default is 'text'. */
  readonly resultFormat?: 'text' | 'binary';
}

export function encodeBind(fields: BindFields = {}): FrontendFrame {
  const { portal = '', statement = '', values = [], resultFormat = 'text' } = fields;
  refuseZeroByte(portal);
  refuseZeroByte(statement);
  if (values.length > COUNT_MAX) {
    throw new WireError(`Bind: ${values.length} parameters, ${COUNT_MAX} is the limit`);
  }
  const binary = resultFormat === 'binary';
  return frame(serialize.bind({ portal, statement, values: [...values], binary }));
}

export function encodeDescribe({ target, name }: NamedTarget): FrontendFrame {
  refuseZeroByte(name);
  return frame(serialize.describe({ type: targetLetter(target), name }));
}

export function encodeExecute({ portal, maxRows }: Execute): FrontendFrame {
  refuseZeroByte(portal);
  return frame(serialize.execute({ portal, rows: maxRows }));
}

export function encodeClose({ target, name }: NamedTarget): FrontendFrame {
  refuseZeroByte(name);
  return frame(serialize.close({ type: targetLetter(target), name }));
}

/** One shared buffer, as of every message without fields: never write to it. */
export function encodeSync(): FrontendFrame {
  return frame(serialize.sync());
}

export function encodeFlush(): FrontendFrame {
  return frame(serialize.flush());
}

export function encodeTerminate(): FrontendFrame {
  return frame(serialize.end());
}

export function encodeCopyData(rows: Buffer): FrontendFrame {
  return frame(serialize.copyData(rows));
}

export function encodeCopyDone(): FrontendFrame {
  return frame(serialize.copyDone());
}

export function encodeCopyFail(message: string): FrontendFrame {
  refuseZeroByte(message);
  return frame(serialize.copyFail(message));
}

/** @param password in clear, or the answer of md5.ts. */
export function encodePasswordMessage(password: string): FrontendFrame {
  refuseZeroByte(password);
  return frame(serialize.password(password));
}

export function encodeSASLInitialResponse(mechanism: string, data: string): FrontendFrame {
  refuseZeroByte(mechanism);
  return frame(serialize.sendSASLInitialResponseMessage(mechanism, data));
}

export function encodeSASLResponse(data: string): FrontendFrame {
  return frame(serialize.sendSCRAMClientFinalMessage(data));
}

function readTarget(reader: ByteReader, what: string, encoding: TextEncoding): NamedTarget {
  const letter = reader.uint8();
  if (letter !== TARGET_STATEMENT && letter !== TARGET_PORTAL) {
    throw new WireError(
      `${what}: kind ${letter}, ${TARGET_STATEMENT} or ${TARGET_PORTAL} expected`,
    );
  }
  const name = reader.cstring(encoding);
  reader.end();
  return { target: letter === TARGET_STATEMENT ? 'statement' : 'portal', name };
}

function readOnlyText(what: string, buffer: Buffer, start: number, end: number): string {
  const reader = new ByteReader(what, buffer, start, end);
  const text = reader.cstring();
  reader.end();
  return text;
}

function targetLetter(target: Target): 'S' | 'P' {
  return target === 'statement' ? 'S' : 'P';
}

function frame(bytes: Buffer): FrontendFrame {
  return bytes as FrontendFrame;
}
