/** Gives a server connection the session parameters of the client it is about to serve. */
import { simpleQuery } from './conversation.ts';
import { initSession } from './init-session.ts';
import { EMPTY_VECTOR, vectorChangeSql } from './parameter-vector.ts';
import type { ParameterVector } from './parameter-vector.ts';
import type { PostgresBackend } from './postgres-backend.ts';

/**
 * What the client before had set and this one has not goes back to what it was after the login;
 * that takes the tenant's init_sql once more, since RESET knows only the server's own value.
 * @throws ServerError when a parameter is not accepted, ConversationLost; the backend must not be
 * used then.
 */
export async function applyVector(
  backend: PostgresBackend,
  vector: ParameterVector,
): Promise<void> {
  const { initSql } = backend;
  const isLosing = [...backend.vector.values.keys()].some((name) => !vector.values.has(name));
  if (initSql !== undefined && isLosing) {
    await change(backend, EMPTY_VECTOR);
    await initSession(backend, initSql);
  }
  await change(backend, vector);
}

async function change(backend: PostgresBackend, vector: ParameterVector): Promise<void> {
  for (const sql of vectorChangeSql(backend.vector, vector)) await simpleQuery(backend, sql);
  backend.vector = vector;
}
