/** Gives a server connection the session parameters of the client it is about to serve. */
import { simpleQuery } from './conversation.ts';
import { vectorChangeSql } from './parameter-vector.ts';
import type { ParameterVector } from './parameter-vector.ts';
import type { PostgresBackend } from './postgres-backend.ts';

/**
 * @throws ServerError when a parameter is not accepted, ConversationLost; the backend must not be
 * used then.
 */
export async function applyVector(
  backend: PostgresBackend,
  vector: ParameterVector,
): Promise<void> {
  const sql = vectorChangeSql(backend.vector, vector);
  if (sql === undefined) return;
  await simpleQuery(backend, sql);
  backend.vector = vector;
}
