/**
 * A client's bytes as a batch that may be shared: one simple Query, or one statement in extended
 * messages up to their Sync, whole and with nothing behind.
 * Owns: the shape. Anything else, also what is malformed, is no such batch and goes the way where
 * every message is looked at by itself. Leaves: whether the statement is harmless to the lane.
 * Source: PostgreSQL manual, "Message Formats", "Extended Query" in Message Flow.
 */
import { FRONTEND } from '../../../wire/postgres/message-types.ts';
import type { PreparedStatement } from '../prepared/statement-catalogue.ts';
import type { TextEffects } from '../sql/effects.ts';
import { FIRST_USER_OID } from '../sql/types.ts';

export interface BatchSource {
  /** The effects of a text, which is about to be run, from `start` up to `end`. */
  effectsOf(chunk: Buffer, start: number, end: number): TextEffects;
  /** The client's own prepared statement of this name, if it is certain to be there. */
  statementOf(name: string): PreparedStatement | undefined;
}

export interface BatchShape {
  /**
   * - `query`: a simple Query
   * - `unnamed`: Parse of the unnamed statement, Bind, Execute …
   * - `named`: Bind of a statement that was parsed before, Execute …
   */
  readonly kind: 'query' | 'unnamed' | 'named';
  readonly effects: TextEffects;
  /** Of a `named` one. */
  readonly statement: PreparedStatement | undefined;
  /**
   * Of an `unnamed` one where its Parse ends, of a `named` one where the names of its Bind end;
   * else 0.
   */
  readonly headEnd: number;
}

const HEADER_BYTES = 5;
const PORTAL = 0x50;
const STATEMENT = 0x53;

/** @param chunk all that the client has sent and that was not handled */
export function readBatch(chunk: Buffer, source: BatchSource): BatchShape | undefined {
  switch (chunk[0]) {
    case FRONTEND.Query:
      return readQuery(chunk, source);
    case FRONTEND.Parse:
      return readUnnamed(chunk, source);
    case FRONTEND.Bind:
      return readNamed(chunk, source);
    case undefined:
    default:
      return undefined;
  }
}

function readQuery(chunk: Buffer, source: BatchSource): BatchShape | undefined {
  const last = chunk.length - 1;
  if (frameEnd(chunk, 0) !== chunk.length || chunk.indexOf(0, HEADER_BYTES) !== last) {
    return undefined;
  }
  const effects = source.effectsOf(chunk, HEADER_BYTES, last);
  return { kind: 'query', effects, statement: undefined, headEnd: 0 };
}

function readUnnamed(chunk: Buffer, source: BatchSource): BatchShape | undefined {
  const headEnd = frameEnd(chunk, 0);
  if (headEnd === undefined || chunk[HEADER_BYTES] !== 0) return undefined;
  const textStart = HEADER_BYTES + 1;
  const textEnd = chunk.indexOf(0, textStart);
  if (textEnd === -1 || textEnd >= headEnd || hasOwnTypes(chunk, textEnd + 1)) return undefined;
  const names = bindNames(chunk, describeEnd(chunk, headEnd));
  if (names === undefined || names.statement !== '' || !endsInOrder(chunk, names.frameEnd)) {
    return undefined;
  }
  const effects = source.effectsOf(chunk, textStart, textEnd);
  return { kind: 'unnamed', effects, statement: undefined, headEnd };
}

/** Whether a Parse names parameter types that are not the server's: their input may run code. */
function hasOwnTypes(chunk: Buffer, at: number): boolean {
  const count = chunk.length - at < 2 ? 0 : chunk.readUInt16BE(at);
  const end = at + 2 + count * 4;
  if (end > chunk.length) return true;
  for (let type = at + 2; type < end; type += 4) {
    if (chunk.readUInt32BE(type) >= FIRST_USER_OID) return true;
  }
  return false;
}

/** Drivers ask for the parameters' types between Parse and Bind. */
function describeEnd(chunk: Buffer, at: number): number {
  const isDescribe = chunk[at] === FRONTEND.Describe && chunk[at + HEADER_BYTES] === STATEMENT;
  const isUnnamed = isDescribe && chunk[at + HEADER_BYTES + 1] === 0;
  return (isUnnamed ? frameEnd(chunk, at) : undefined) ?? at;
}

function readNamed(chunk: Buffer, source: BatchSource): BatchShape | undefined {
  const names = bindNames(chunk, 0);
  if (names === undefined || names.statement === '' || !endsInOrder(chunk, names.frameEnd)) {
    return undefined;
  }
  const statement = source.statementOf(names.statement);
  if (statement === undefined) return undefined;
  return { kind: 'named', effects: statement.effects, statement, headEnd: names.end };
}

interface BindNames {
  readonly statement: string;
  /** Where the names end. */
  readonly end: number;
  readonly frameEnd: number;
}

/** Of a Bind of the unnamed portal. */
function bindNames(chunk: Buffer, at: number): BindNames | undefined {
  const end = chunk[at] === FRONTEND.Bind ? frameEnd(chunk, at) : undefined;
  const nameStart = at + HEADER_BYTES + 1;
  if (end === undefined || chunk[nameStart - 1] !== 0) return undefined;
  const nameEnd = chunk.indexOf(0, nameStart);
  if (nameEnd === -1 || nameEnd >= end) return undefined;
  const statement = nameEnd === nameStart ? '' : chunk.toString('latin1', nameStart, nameEnd);
  return { statement, end: nameEnd + 1, frameEnd: end };
}

/** Behind the Bind: Describe of the portal or not, Execute of it, Sync, and nothing more. */
function endsInOrder(chunk: Buffer, from: number): boolean {
  let at: number | undefined = from;
  if (chunk[at] === FRONTEND.Describe) {
    if (chunk[at + HEADER_BYTES] !== PORTAL || chunk[at + HEADER_BYTES + 1] !== 0) return false;
    at = frameEnd(chunk, at);
  }
  if (at === undefined || chunk[at] !== FRONTEND.Execute || chunk[at + HEADER_BYTES] !== 0) {
    return false;
  }
  at = frameEnd(chunk, at);
  return at === chunk.length - HEADER_BYTES && chunk[at] === FRONTEND.Sync
    ? frameEnd(chunk, at) === chunk.length
    : false;
}

/** Undefined when the frame has not arrived whole, or its length is impossible. */
function frameEnd(chunk: Buffer, at: number): number | undefined {
  if (chunk.length - at < HEADER_BYTES) return undefined;
  const length =
    ((chunk[at + 1] as number) << 24) |
    ((chunk[at + 2] as number) << 16) |
    ((chunk[at + 3] as number) << 8) |
    (chunk[at + 4] as number);
  const end = at + 1 + length;
  return length >= 4 && end <= chunk.length ? end : undefined;
}
