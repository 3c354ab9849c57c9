/**
 * Runs a tenant's init_sql on a server connection, after its login and after each reset.
 * Owns: what a session must be like afterwards. Leaves: when, and the words of a failure, to the
 * callers.
 */
import { TRANSACTION_IDLE } from '../wire/postgres/backend-messages.ts';
import { ServerError, simpleQuery } from './conversation.ts';
import type { PostgresBackend } from './postgres-backend.ts';

/**
 * @throws ServerError in the database's words, or because a transaction is left open;
 * ConversationLost. The backend must not be used then.
 */
export async function initSession(backend: PostgresBackend, initSql: string): Promise<void> {
  await simpleQuery(backend, initSql);
  if (backend.transactionStatus === TRANSACTION_IDLE) return;
  const message = 'init_sql leaves a transaction open';
  throw new ServerError({ severity: 'ERROR', code: '25001', message });
}
