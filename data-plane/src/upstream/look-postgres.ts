/**
 * Looks on a PostgreSQL server for connections that a lost proxy, or an earlier life of this one,
 * has left behind, and ends them.
 * Owns: the questions. Leaves: over which connection to ask, and what follows, to others.
 * Source: PostgreSQL manual, "pg_stat_activity" (the name of a backend, its database and its role
 * are shown to everybody, the rest to its own role), "Server Signaling Functions".
 */
import type { LookRequest } from '@dbbouncer/shared/contract/budget.ts';
import { simpleQuery } from './conversation.ts';
import type { PostgresBackend } from './postgres-backend.ts';

export type LeftBehind = LookRequest['left'];

/** A server connection that nobody owns any more. */
export interface Stray {
  readonly pid: number;
  readonly database: string | null;
  /** `other`: only a connection of its own role can end it. */
  readonly role: 'own' | 'other';
  readonly isIdle: boolean;
}

/** All there are on the server. @throws ServerError, ConversationLost */
export async function findStrays(
  backend: PostgresBackend,
  { proxy, upToLife }: LeftBehind,
  limitMs: number,
): Promise<readonly Stray[]> {
  const prefix = `dbb:${proxy}:`;
  const rows = await simpleQuery(backend, question(prefix), limitMs);
  return rows.flatMap(([pid, database = null, isOwn, state, name]) => {
    const life = Number(name?.slice(prefix.length));
    if (!(life <= upToLife)) return [];
    const role = isOwn === 't' ? 'own' : 'other';
    return { pid: Number(pid), database, role, isIdle: state === 'idle' };
  });
}

/** Asks the server to end them; they may still be there for a while. @throws as above */
export async function endStrays(
  backend: PostgresBackend,
  strays: readonly Stray[],
  limitMs: number,
): Promise<void> {
  if (strays.length === 0) return;
  const calls = strays.map(({ pid }) => `pg_catalog.pg_terminate_backend(${pid})`);
  await simpleQuery(backend, `SELECT ${calls.join(', ')}`, limitMs);
}

/** A proxy's id has no character that a text in quotes could not hold. */
function question(prefix: string): string {
  const start = `pg_catalog.left(application_name, ${prefix.length})`;
  const named = `${start} OPERATOR(pg_catalog.=) '${prefix}'`;
  return `SELECT pid, datname, usename OPERATOR(pg_catalog.=) session_user, state,
application_name
FROM pg_catalog.pg_stat_activity
WHERE pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid() AND ${named}`;
}
