/**
 * Recognises a batch that only begins a transaction, or only ends one: a Query, or Parse, Bind,
 * Describe, Execute and Sync as drivers send them, where all of it is here.
 * Owns: the shape of such a batch. Leaves: answering it to lazy-begin.ts.
 * Source: PostgreSQL manual, "Message Formats".
 */
import { FRONTEND } from '../../../wire/postgres/message-types.ts';
import type { ClientRequests } from '../requests.ts';
import type { TextEffects } from '../sql/effects.ts';
import { LOCAL_TEXT_BYTES_MAX, mayBe, shortText } from './local-text.ts';
import type { Wanted } from './local-text.ts';

export interface LocalBatch {
  readonly sql: string;
  readonly effects: TextEffects;
  /** One letter for each message. */
  readonly messages: 'Q' | 'BES' | 'BDES' | 'PBES' | 'PBDES';
  /** Where it ends in the buffer. */
  readonly end: number;
}

/** Knows the client's texts. */
export type LocalTexts = Pick<ClientRequests, 'watch' | 'statementOf'>;

/** A message, by where it is. */
export interface LocalMessage {
  readonly type: number;
  readonly buffer: Buffer;
  readonly bodyStart: number;
  readonly bodyEnd: number;
}

const HEADER_BYTES = 5;
const LENGTH_FIELD_BYTES = 4;
const COUNT_BYTES = 2;
const FORMAT_BYTES = 2;
const EXECUTE_BODY_BYTES = 5;
const PORTAL = 0x50;

/** Tells most messages apart that begin no such batch. */
export function mayBegin({ type, buffer, bodyStart, bodyEnd }: LocalMessage): boolean {
  if (type === FRONTEND.Query) return mayBe('begin', buffer, bodyStart, bodyEnd);
  const isUnnamed = buffer[bodyStart] === 0;
  if (type === FRONTEND.Parse) return isUnnamed && mayBe('begin', buffer, bodyStart + 1, bodyEnd);
  return type === FRONTEND.Bind && isUnnamed;
}

/** The batch that `message` begins; undefined when it is another, or is not here whole. */
export function readLocalBatch(
  wanted: Wanted,
  message: LocalMessage,
  texts: LocalTexts,
): LocalBatch | undefined {
  switch (message.type) {
    case FRONTEND.Query: {
      const sql = queryText(wanted, message);
      if (sql === undefined) return undefined;
      return { sql, effects: texts.watch.texts.read(sql), messages: 'Q', end: message.bodyEnd };
    }
    case FRONTEND.Parse:
      return parsedBatch(wanted, message, texts);
    case FRONTEND.Bind:
      return boundBatch(wanted, message, texts);
    default:
      return undefined;
  }
}

/** The text of a whole short Query that may be wanted. */
export function queryText(
  wanted: Wanted,
  { buffer, bodyStart, bodyEnd }: LocalMessage,
): string | undefined {
  if (!mayBe(wanted, buffer, bodyStart, bodyEnd)) return undefined;
  return zeroIn(buffer, bodyStart, bodyEnd) === bodyEnd - 1
    ? shortText(buffer, bodyStart, bodyEnd - 1)
    : undefined;
}

/** The text of a whole short Parse of the unnamed statement, without parameters, likewise. */
export function unnamedParseText(
  wanted: Wanted,
  { buffer, bodyStart, bodyEnd }: LocalMessage,
): string | undefined {
  if (buffer[bodyStart] !== 0 || !mayBe(wanted, buffer, bodyStart + 1, bodyEnd)) return undefined;
  const zero = zeroIn(buffer, bodyStart + 1, bodyEnd);
  const isWhole = zero + 1 + COUNT_BYTES === bodyEnd && buffer.readUInt16BE(zero + 1) === 0;
  return isWhole ? shortText(buffer, bodyStart + 1, zero) : undefined;
}

/** The statement of a whole Bind that gives no parameters, to the unnamed portal. */
export function boundName({ buffer, bodyStart, bodyEnd }: LocalMessage): string | undefined {
  if (buffer[bodyStart] !== 0) return undefined;
  const zero = zeroIn(buffer, bodyStart + 1, bodyEnd);
  if (zero === -1) return undefined;
  const parameters = behindFormats(buffer, zero + 1, bodyEnd, 1);
  if (parameters === undefined || parameters + COUNT_BYTES > bodyEnd) return undefined;
  if (buffer.readUInt16BE(parameters) !== 0) return undefined;
  const end = behindFormats(buffer, parameters + COUNT_BYTES, bodyEnd, Infinity);
  return end === bodyEnd ? buffer.toString('latin1', bodyStart + 1, zero) : undefined;
}

function parsedBatch(
  wanted: Wanted,
  message: LocalMessage,
  texts: LocalTexts,
): LocalBatch | undefined {
  const sql = unnamedParseText(wanted, message);
  const bind = messageAt(message.buffer, message.bodyEnd);
  if (sql === undefined || bind?.type !== FRONTEND.Bind || boundName(bind) !== '') return undefined;
  const rest = runThrough(bind);
  return (
    rest && {
      sql,
      effects: texts.watch.texts.read(sql),
      messages: `P${rest.messages}`,
      end: rest.end,
    }
  );
}

function boundBatch(
  wanted: Wanted,
  message: LocalMessage,
  texts: LocalTexts,
): LocalBatch | undefined {
  const name = boundName(message);
  const statement = name === undefined || name === '' ? undefined : texts.statementOf(name);
  if (statement === undefined) return undefined;
  const { definition, effects } = statement;
  if (!mayBe(wanted, definition, 0, definition.length)) return undefined;
  const sql = shortText(definition, 0, definition.indexOf(0));
  const rest = sql === undefined ? undefined : runThrough(message);
  return rest && sql !== undefined ? { sql, effects, ...rest } : undefined;
}

/** Describe, if it is there, Execute and Sync behind a Bind. */
function runThrough(
  bind: LocalMessage,
): { readonly messages: 'BES' | 'BDES'; readonly end: number } | undefined {
  const second = messageAt(bind.buffer, bind.bodyEnd);
  const isDescribed = second?.type === FRONTEND.Describe && isUnnamedPortal(second);
  const execute = isDescribed ? messageAt(second.buffer, second.bodyEnd) : second;
  if (execute?.type !== FRONTEND.Execute || !isOfUnnamedPortal(execute)) return undefined;
  const sync = messageAt(execute.buffer, execute.bodyEnd);
  if (sync?.type !== FRONTEND.Sync || sync.bodyEnd !== sync.bodyStart) return undefined;
  return { messages: isDescribed ? 'BDES' : 'BES', end: sync.bodyEnd };
}

function isUnnamedPortal({ buffer, bodyStart, bodyEnd }: LocalMessage): boolean {
  return bodyEnd - bodyStart === 2 && buffer[bodyStart] === PORTAL && buffer[bodyStart + 1] === 0;
}

function isOfUnnamedPortal({ buffer, bodyStart, bodyEnd }: LocalMessage): boolean {
  return bodyEnd - bodyStart === EXECUTE_BODY_BYTES && buffer[bodyStart] === 0;
}

/** The whole message that begins at `start`, if it is here. */
function messageAt(buffer: Buffer, start: number): LocalMessage | undefined {
  const bodyStart = start + HEADER_BYTES;
  if (bodyStart > buffer.length) return undefined;
  const bodyEnd = bodyStart + buffer.readInt32BE(start + 1) - LENGTH_FIELD_BYTES;
  if (bodyEnd < bodyStart || bodyEnd > buffer.length) return undefined;
  return { type: buffer[start] as number, buffer, bodyStart, bodyEnd };
}

/** Where a list of at most `max` format codes ends; undefined when there are more, or not all. */
function behindFormats(
  buffer: Buffer,
  start: number,
  end: number,
  max: number,
): number | undefined {
  if (start + COUNT_BYTES > end) return undefined;
  const count = buffer.readUInt16BE(start);
  const behind = start + COUNT_BYTES + FORMAT_BYTES * count;
  return count > max || behind > end ? undefined : behind;
}

function zeroIn(buffer: Buffer, start: number, end: number): number {
  const within = buffer.subarray(start, Math.min(end, start + LOCAL_TEXT_BYTES_MAX + 1));
  const at = within.indexOf(0);
  return at === -1 ? -1 : start + at;
}
