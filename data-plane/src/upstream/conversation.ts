/**
 * The sink for talking to a server ourselves, one awaited message at a time: login, reset, probes.
 * Not for traffic.
 * Owns: collecting whole messages in order. Leaves: what to say to its users.
 */
import { encodeQuery, encodeSync } from '../wire/postgres/frontend-messages.ts';
import { BACKEND } from '../wire/postgres/message-types.ts';
import { decodeDataRow, decodeErrorFields } from '../wire/postgres/backend-messages.ts';
import type { ErrorFields } from '../wire/postgres/backend-messages.ts';
import { DROP } from '../wire/postgres/frame-scanner.ts';
import type { FrameVerdict } from '../wire/postgres/frame-scanner.ts';
import { COLLECT_BYTES_MAX } from '../wire/postgres/limits.ts';
import { idleSink } from './idle-sink.ts';
import type { PostgresBackend, ReplySink } from './postgres-backend.ts';
import { withinTime } from './time-limit.ts';

export interface BackendMessage {
  readonly type: number;
  /** A copy: valid as long as it is kept. */
  readonly body: Buffer;
}

/** The server's connection ended in the middle of a conversation. */
export class ConversationLost extends Error {
  override readonly name = 'ConversationLost';
}

/** The server answered a command of ours with an error. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly fields: ErrorFields;

  constructor(fields: ErrorFields) {
    super(fields.message);
    this.fields = fields;
  }
}

export class Conversation implements ReplySink {
  readonly #queue: BackendMessage[] = [];
  #lost: ConversationLost | undefined;
  #waiting: { resolve(message: BackendMessage): void; reject(error: Error): void } | undefined;

  needsBody(_type: number, bodyLength: number): boolean {
    return bodyLength <= COLLECT_BYTES_MAX;
  }

  frame(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    // Notices and parameters may come at any time; the backend has noted the parameters.
    if (type === BACKEND.NoticeResponse || type === BACKEND.ParameterStatus) return DROP;
    if (type === BACKEND.NotificationResponse) return DROP;
    const message = { type, body: Buffer.from(buffer.subarray(bodyStart, bodyEnd)) };
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#queue.push(message);
    else waiting.resolve(message);
    return DROP;
  }

  forward(): void {}
  settled(): void {}
  drained(): void {}

  lost(error: Error | undefined): void {
    this.#lost = new ConversationLost(error?.message ?? 'the server closed the connection');
    this.#waiting?.reject(this.#lost);
    this.#waiting = undefined;
  }

  /** The next message that is not asynchronous. @throws ConversationLost */
  next(): Promise<BackendMessage> {
    const message = this.#queue.shift();
    if (message !== undefined) return Promise.resolve(message);
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }
}

/** A round trip on a backend nobody else uses. @throws ConversationLost */
export async function ping(backend: PostgresBackend): Promise<void> {
  const conversation = new Conversation();
  backend.attach(conversation);
  backend.write(encodeSync());
  while ((await conversation.next()).type !== BACKEND.ReadyForQuery);
  backend.attach(idleSink);
}

export type TextRow = readonly (string | null)[];

/**
 * Runs `sql` as one simple Query on a backend nobody else uses; replies are nobody's afterwards.
 * @param limitMs after which the connection is cut; once the login is over, cancel_wait_timeout
 * where nothing else is said.
 * @returns the rows of all its results, as text; texts are byte for byte (latin1), in the encoding
 * that the backend has.
 * @throws ServerError after the server's ReadyForQuery, ConversationLost
 */
export function simpleQuery(
  backend: PostgresBackend,
  sql: string,
  limitMs?: number,
): Promise<TextRow[]> {
  return simpleQueries(backend, [sql], limitMs);
}

/** As simpleQuery, several of them in one write; each is run, whatever became of the others. */
export function simpleQueries(
  backend: PostgresBackend,
  texts: readonly string[],
  limitMs?: number,
): Promise<TextRow[]> {
  const limit = backend.patience?.(limitMs);
  return limit === undefined
    ? rowsOf(backend, texts)
    : withinTime(backend, limit, () => rowsOf(backend, texts));
}

async function rowsOf(backend: PostgresBackend, texts: readonly string[]): Promise<TextRow[]> {
  const conversation = new Conversation();
  backend.attach(conversation);
  backend.write(Buffer.concat(texts.map((sql) => encodeQuery(sql, 'latin1'))));
  const rows: TextRow[] = [];
  let failure: ServerError | undefined;
  let owed = texts.length;
  while (owed > 0) {
    const { type, body } = await conversation.next();
    if (type === BACKEND.ErrorResponse) failure ??= new ServerError(decodeErrorFields(body));
    else if (type === BACKEND.DataRow) rows.push(decodeDataRow(body, 0, body.length, 'latin1'));
    else if (type === BACKEND.ReadyForQuery) owed -= 1;
  }
  backend.attach(idleSink);
  if (failure !== undefined) throw failure;
  return rows;
}
