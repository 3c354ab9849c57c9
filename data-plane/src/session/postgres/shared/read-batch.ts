/**
 * A client's bytes as a batch that may be shared: one simple Query, or one statement in extended
 * messages up to their Sync, whole and with nothing behind. A named statement may be parsed or
 * described only.
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
   * - `named`: Parse of a named statement, or one that was parsed before; Describe; Bind, Execute …
   */
  readonly kind: 'query' | 'unnamed' | 'named';
  readonly effects: TextEffects;
  /** Of a `named` one that was parsed before. */
  readonly statement: PreparedStatement | undefined;
  /** Of a `named` one that begins with its Parse. */
  readonly naming: Naming | undefined;
  /** Of a `named` one: a Describe of the statement comes before its Bind, or in place of it. */
  readonly describes: 'nothing' | 'statement';
  /** Where the Bind of a `named` one begins. */
  readonly bindStart: number;
  /**
   * Of an `unnamed` one where its Parse ends, of a `named` one where the names of its Bind end, if
   * it has one; else 0.
   */
  readonly headEnd: number;
}

/** A Parse of a named statement. */
export interface Naming {
  readonly name: string;
  /** Where its text begins, behind which there are parameter types. */
  readonly textStart: number;
  readonly textEnd: number;
  readonly frameEnd: number;
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
      return chunk[HEADER_BYTES] === 0 ? readUnnamed(chunk, source) : readNaming(chunk, source);
    case FRONTEND.Bind:
    case FRONTEND.Describe:
      return readNamed(chunk, source, undefined);
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
  return unnamed('query', effects, 0);
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
  return unnamed('unnamed', effects, headEnd);
}

function unnamed(kind: 'query' | 'unnamed', effects: TextEffects, headEnd: number): BatchShape {
  return {
    kind,
    effects,
    statement: undefined,
    naming: undefined,
    describes: 'nothing',
    bindStart: 0,
    headEnd,
  };
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

function readNaming(chunk: Buffer, source: BatchSource): BatchShape | undefined {
  const end = frameEnd(chunk, 0);
  if (end === undefined) return undefined;
  const nameEnd = chunk.indexOf(0, HEADER_BYTES);
  const textEnd = nameEnd === -1 ? -1 : chunk.indexOf(0, nameEnd + 1);
  if (textEnd === -1 || textEnd >= end || hasOwnTypes(chunk, textEnd + 1)) return undefined;
  const name = chunk.toString('latin1', HEADER_BYTES, nameEnd);
  return readNamed(chunk, source, { name, textStart: nameEnd + 1, textEnd, frameEnd: end });
}

/** Of one name: its Parse, as far as it was read, its Describe, its Bind and what runs it. */
function readNamed(
  chunk: Buffer,
  source: BatchSource,
  naming: Naming | undefined,
): BatchShape | undefined {
  const start = naming?.frameEnd ?? 0;
  const described = chunk[start] === FRONTEND.Describe ? describedName(chunk, start) : undefined;
  const bindStart = described?.frameEnd ?? start;
  const bound = chunk[bindStart] === FRONTEND.Bind ? bindNames(chunk, bindStart) : undefined;
  const isWhole =
    bound === undefined ? isLastSync(chunk, bindStart) : endsInOrder(chunk, bound.frameEnd);
  const name = naming?.name ?? described?.statement ?? bound?.statement;
  if (!isWhole || name === undefined || name === '') return undefined;
  if (described !== undefined && described.statement !== name) return undefined;
  if (bound !== undefined && bound.statement !== name) return undefined;
  const statement = naming === undefined ? source.statementOf(name) : undefined;
  const effects = naming
    ? source.effectsOf(chunk, naming.textStart, naming.textEnd)
    : statement?.effects;
  if (effects === undefined) return undefined;
  return {
    kind: 'named',
    effects,
    statement,
    naming,
    describes: described === undefined ? 'nothing' : 'statement',
    bindStart,
    headEnd: bound?.end ?? 0,
  };
}

interface Described {
  readonly statement: string;
  readonly frameEnd: number;
}

/** Of a Describe of a statement. */
function describedName(chunk: Buffer, at: number): Described | undefined {
  const end = frameEnd(chunk, at);
  const nameStart = at + HEADER_BYTES + 1;
  if (end === undefined || chunk[nameStart - 1] !== STATEMENT) return undefined;
  const nameEnd = end - 1;
  if (nameEnd < nameStart || chunk.indexOf(0, nameStart) !== nameEnd) return undefined;
  return { statement: chunk.toString('latin1', nameStart, nameEnd), frameEnd: end };
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
  return at !== undefined && isLastSync(chunk, at);
}

function isLastSync(chunk: Buffer, at: number): boolean {
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
