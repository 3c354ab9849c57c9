/**
 * A batch about a named statement as a connection that many clients share understands it: under the
 * name that all of them have for the statement, parsed first where it is not there.
 * Owns: these bytes, and what their replies tell of the statement. Leaves: the client's own names
 * to prepared/, the replies to lane-replies.ts.
 * Source: PostgreSQL manual, "Extended Query" in Message Flow.
 */
import { FRONTEND } from '../../../wire/postgres/message-types.ts';
import type { BackendStatements } from '../prepared/backend-statements.ts';
import { closeMessage, frameHead, parseMessage } from '../prepared/messages.ts';
import { TARGET_STATEMENT } from '../prepared/names.ts';
import type { PreparedStatement } from '../prepared/statement-catalogue.ts';
import type { BatchShape } from './read-batch.ts';
import type { ClientParse, StatementUse } from './shared-batch.ts';

export interface NamedBatch {
  readonly bytes: Buffer;
  /** Replies to messages that the client did not send, which come first. */
  readonly injectedReplies: number;
  readonly use: StatementUse;
}

const HEADER_BYTES = 5;
const SYNC_BYTES = 5;

/** @param statementsMax how many the connection may have */
export function namedBatch(
  chunk: Buffer,
  shape: BatchShape,
  statement: PreparedStatement,
  statements: BackendStatements,
  statementsMax: number,
): NamedBatch {
  const before = toPrepare(statement, statements, statementsMax);
  const isSent = before.length > 0;
  const isParsed = shape.naming !== undefined;
  // The last one is then the client's own.
  const injectedReplies = isSent && isParsed ? before.length - 1 : before.length;
  const clientParse = isParsed ? (isSent ? 'sent' : 'assumed') : 'none';
  if (shape.describes === 'statement') {
    before.push(frameHead(FRONTEND.Describe, [TARGET_STATEMENT + statement.name], 0));
  }
  const bytes =
    shape.headEnd === 0
      ? Buffer.concat([...before, chunk.subarray(chunk.length - SYNC_BYTES)])
      : renamed(chunk, shape, statement, before);
  return { bytes, injectedReplies, use: new Use(statement, statements, clientParse) };
}

/** Tells one Parse on a shared connection from the next of the same statement. */
let lastParse = 0;
/** Of no Parse. */
const NONE = 0;

class Use implements StatementUse {
  readonly clientParse: ClientParse;
  readonly #statement: PreparedStatement;
  readonly #statements: BackendStatements;

  constructor(
    statement: PreparedStatement,
    statements: BackendStatements,
    clientParse: ClientParse,
  ) {
    this.#statement = statement;
    this.#statements = statements;
    this.clientParse = clientParse;
  }

  get isThere(): boolean {
    const statements = this.#statements;
    return statements.has(this.#statement) && !statements.isUnsettled(this.#statement, NONE);
  }

  parsed(): void {
    this.#statements.confirm(this.#statement);
  }

  failed(which: 'not_parsed' | 'outdated'): void {
    if (which === 'not_parsed') this.#statements.delete(this.#statement);
    else this.#statements.outdated(this.#statement);
  }
}

/** The messages that come before a use of `statement`, its Parse last; it is there then. */
function toPrepare(
  statement: PreparedStatement,
  statements: BackendStatements,
  statementsMax: number,
): Buffer[] {
  // Portals end with their batch: any statement but this one may be closed.
  statements.beginLease();
  const before: Buffer[] = [];
  if (statements.use(statement)) return before;
  if (statements.takeOutdated(statement)) before.push(closeMessage(statement));
  const surplus = statements.surplus(statementsMax);
  if (surplus !== undefined) {
    statements.delete(surplus);
    before.push(closeMessage(surplus));
  }
  lastParse += 1;
  statements.expect(statement, lastParse);
  before.push(parseMessage(statement));
  return before;
}

/** From its Bind on, with the shared name in place of the client's. */
function renamed(
  chunk: Buffer,
  { bindStart, headEnd }: BatchShape,
  { name }: PreparedStatement,
  before: readonly Buffer[],
): Buffer {
  const namesBytes = name.length + 2;
  const restBytes = chunk.readInt32BE(bindStart + 1) + 1 - (headEnd - bindStart);
  let at = 0;
  for (const message of before) at += message.length;
  const bytes = Buffer.allocUnsafe(at + HEADER_BYTES + namesBytes + chunk.length - headEnd);
  at = 0;
  for (const message of before) at += message.copy(bytes, at);
  bytes[at] = FRONTEND.Bind;
  bytes.writeInt32BE(HEADER_BYTES - 1 + namesBytes + restBytes, at + 1);
  at += HEADER_BYTES;
  bytes[at++] = 0;
  at += bytes.write(name, at, 'latin1');
  bytes[at++] = 0;
  chunk.copy(bytes, at, headEnd);
  return bytes;
}
