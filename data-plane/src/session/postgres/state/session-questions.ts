/**
 * Asks a server connection what its session holds, where the client's texts do not tell: values of
 * parameters, and the things a client would be pinned for.
 * Owns: the questions and what the answers mean. Leaves: when to ask to statement-watch.ts.
 * Source: PostgreSQL manual, "System Views" (pg_settings, pg_locks, pg_cursors,
 * pg_prepared_statements) and "Session Information Functions".
 */
import { simpleQuery } from '../../../upstream/conversation.ts';
import { quoteLiteral } from '../../../upstream/parameter-vector.ts';
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import type { PinReason } from '../sql/effects.ts';
import { isCustom } from './setting-changes.ts';

export interface SessionQuestion {
  /** Parameters to ask for, in lower case; of those with a dot every one that may have been set. */
  readonly names: ReadonlySet<string>;
  /** Whether any parameter without a dot may have been set. */
  readonly others: 'asked' | 'unchanged';
  /** Whether to ask for what pins. */
  readonly holds: 'asked' | 'unchanged';
}

export interface SessionAnswer {
  /** Of the parameters asked for, those that are set in this session. */
  readonly values: ReadonlyMap<string, string>;
  readonly holds: readonly PinReason[];
}

/** The reasons that `holds` tells of; of others only the client's texts tell. */
export const ASKABLE_PINS: ReadonlySet<PinReason> = new Set([
  'temp_object',
  'hold_cursor',
  'advisory_lock',
  'sql_prepare',
  'listen',
]);

/** @throws ServerError | ConversationLost */
export async function askSession(
  backend: PostgresBackend,
  question: SessionQuestion,
): Promise<SessionAnswer> {
  const rows = await simpleQuery(backend, questionSql(question));
  const values = new Map<string, string>();
  const holds: PinReason[] = [];
  for (const [about, name, value] of rows) {
    if (about === 'holds') holds.push(name as PinReason);
    else if (typeof name === 'string' && typeof value === 'string') values.set(name, value);
  }
  if (values.get('role') === 'none') values.delete('role');
  return { values, holds };
}

function questionSql({ names, others, holds }: SessionQuestion): string {
  const parts: string[] = [];
  const plain: string[] = [];
  for (const name of names) {
    if (isCustom(name) || name === 'role') parts.push(valueOf(name));
    else plain.push(quoteLiteral(name));
  }
  if (others === 'asked') parts.push(SET_HERE, valueOf('role'));
  else if (plain.length > 0) {
    parts.push(`${SET_HERE} AND pg_catalog.lower(name) IN (${plain.join(', ')})`);
  }
  if (holds === 'asked') parts.push(...HOLDS);
  return parts.join('\nUNION ALL ');
}

function valueOf(name: string): string {
  const literal = quoteLiteral(name);
  return `SELECT 'value', ${literal}, pg_catalog.current_setting(${literal}, true)`;
}

/** But for those of the transaction, which have ended with it. */
const SET_HERE = `SELECT 'value', pg_catalog.lower(name), setting FROM pg_catalog.pg_settings
WHERE source = 'session' AND name NOT IN ('session_authorization', 'transaction_deferrable',
  'transaction_isolation', 'transaction_read_only')`;

const HOLDS = [
  `SELECT 'holds', 'temp_object', NULL WHERE EXISTS (
  SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()
  UNION ALL SELECT FROM pg_catalog.pg_proc WHERE pronamespace = pg_catalog.pg_my_temp_schema()
  UNION ALL SELECT FROM pg_catalog.pg_type WHERE typnamespace = pg_catalog.pg_my_temp_schema())`,
  `SELECT 'holds', 'hold_cursor', NULL WHERE EXISTS (
  SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)`,
  `SELECT 'holds', 'advisory_lock', NULL WHERE EXISTS (
  SELECT FROM pg_catalog.pg_locks
  WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid())`,
  `SELECT 'holds', 'sql_prepare', NULL WHERE EXISTS (
  SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)`,
  `SELECT 'holds', 'listen', NULL WHERE EXISTS (SELECT pg_catalog.pg_listening_channels())`,
];
