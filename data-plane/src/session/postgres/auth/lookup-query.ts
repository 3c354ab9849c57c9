/**
 * One question to a tenant's database: what does it keep of this user's password?
 * Owns: asking it in a way that no user name can be anything but a value, and how long it may take.
 * Leaves: what is done with the answer to lookups.ts.
 * Source: PostgreSQL manual, "Extended Query" in Message Flow.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Pool } from '../../../pool/pool.ts';
import { Conversation, ServerError } from '../../../upstream/conversation.ts';
import { idleSink } from '../../../upstream/idle-sink.ts';
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import { decodeDataRow, decodeErrorFields } from '../../../wire/postgres/backend-messages.ts';
import {
  encodeBind,
  encodeExecute,
  encodeParse,
  encodeSync,
} from '../../../wire/postgres/frontend-messages.ts';
import { BACKEND } from '../../../wire/postgres/message-types.ts';
import { withBackend } from '../lease-once.ts';

/** From the question to its answer; waiting for a connection is bounded by acquire_timeout. */
export const LOOKUP_TIMEOUT_MS = 5_000;
/** One user has one row; the second is fetched only to see that there is one. */
const ROWS_MAX = 2;

/** An answer that is none: the tenant's query is not what it should be. */
export class UnusableAnswer extends Error {
  override readonly name = 'UnusableAnswer';
}

/**
 * The password or verifier of `user`; undefined when there is no such user, or it has none.
 * @throws UnusableAnswer, ServerError, ConversationLost; AppError why there is no connection
 */
export async function lookUp(
  pool: Pool<PostgresBackend>,
  query: string,
  user: string,
  clock: Clock,
): Promise<string | undefined> {
  const rows = await withBackend(pool, async (backend) => {
    const timer = clock.after(LOOKUP_TIMEOUT_MS, () =>
      backend.socket.destroy(new Error(`no answer within ${LOOKUP_TIMEOUT_MS} ms`)),
    );
    try {
      return await ask(backend, query, user);
    } finally {
      timer.cancel();
    }
  });
  const [row] = rows;
  if (row === undefined) return undefined;
  if (rows.length > 1) throw new UnusableAnswer('it returns more than one row');
  const [name, password, ...more] = row;
  if (password === undefined || more.length > 0) {
    throw new UnusableAnswer(`it returns ${row.length} columns in place of name and password`);
  }
  // A function that returns a record has a row of NULLs where it found none.
  if (password === null || password === '') return undefined;
  if (name !== user) throw new UnusableAnswer('it returns another user than it was asked for');
  return password;
}

async function ask(
  backend: PostgresBackend,
  query: string,
  user: string,
): Promise<readonly (readonly (string | null)[])[]> {
  const conversation = new Conversation();
  backend.attach(conversation);
  backend.write(
    Buffer.concat([
      encodeParse({ statement: '', sql: query, parameterTypes: [] }),
      encodeBind({ values: [user] }),
      encodeExecute({ portal: '', maxRows: ROWS_MAX }),
      encodeSync(),
    ]),
  );
  const rows: (readonly (string | null)[])[] = [];
  let failure: ServerError | undefined;
  for (;;) {
    const { type, body } = await conversation.next();
    if (type === BACKEND.ErrorResponse) failure ??= new ServerError(decodeErrorFields(body));
    else if (type === BACKEND.DataRow) rows.push(decodeDataRow(body));
    else if (type === BACKEND.ReadyForQuery) break;
  }
  backend.attach(idleSink);
  if (failure !== undefined) throw failure;
  return rows;
}
