/**
 * What a session on the server holds that a new one would not, as the server tells it.
 * Owns: the questions. Leaves: what of it should be there to leak-detector.ts.
 * Source: PostgreSQL manual, "System Views" and "Session Information Functions".
 */
import { ServerError, simpleQuery } from '../conversation.ts';
import { quoteLiteral } from '../parameter-vector.ts';
import type { ParameterVector } from '../parameter-vector.ts';
import type { PostgresBackend } from '../postgres-backend.ts';

/** Metrics and logs use the same words. */
export type LeakKind =
  | 'parameter'
  | 'custom_parameter'
  | 'role'
  | 'session_authorization'
  | 'temp_object'
  | 'hold_cursor'
  | 'prepared_statement'
  | 'advisory_lock'
  | 'listen'
  | 'sequence';

export interface Holding {
  readonly kind: LeakKind;
  readonly name: string;
  readonly value: string;
}

const HOLDINGS = `SELECT 'parameter', pg_catalog.lower(name), setting FROM pg_catalog.pg_settings
WHERE source = 'session' AND setting IS DISTINCT FROM reset_val
  AND name NOT IN ('transaction_deferrable', 'transaction_isolation', 'transaction_read_only')
UNION ALL SELECT 'role', 'role', pg_catalog.current_setting('role')
WHERE pg_catalog.current_setting('role') <> 'none'
UNION ALL SELECT 'session_authorization', session_user::text, ''
FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS own
JOIN pg_catalog.pg_roles AS login ON login.oid = own.usesysid WHERE login.rolname <> session_user
UNION ALL SELECT 'temp_object', relname::text, '' FROM pg_catalog.pg_class
WHERE relnamespace = pg_catalog.pg_my_temp_schema() AND relkind NOT IN ('i', 'I', 't')
UNION ALL SELECT 'temp_object', proname::text, '' FROM pg_catalog.pg_proc
WHERE pronamespace = pg_catalog.pg_my_temp_schema()
UNION ALL SELECT 'temp_object', typname::text, '' FROM pg_catalog.pg_type
WHERE typnamespace = pg_catalog.pg_my_temp_schema() AND typrelid = 0 AND typelem = 0
UNION ALL SELECT 'hold_cursor', name, '' FROM pg_catalog.pg_cursors WHERE is_holdable
UNION ALL SELECT 'prepared_statement', name, '' FROM pg_catalog.pg_prepared_statements
UNION ALL SELECT 'advisory_lock', classid || ' ' || objid || ' ' || objsubid, ''
FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()
UNION ALL SELECT 'listen', channel, '' FROM pg_catalog.pg_listening_channels() AS channel`;

export interface Holdings {
  readonly all: readonly Holding[];
  /** Parameters of the vector that have other values than it says. */
  readonly deviating: readonly string[];
}

/**
 * All there is; of parameters of two parts only those in `customNames`. The session is left as it
 * was.
 * @throws ServerError | ConversationLost
 */
export async function holdingsOf(
  backend: PostgresBackend,
  vector: ParameterVector,
  customNames: Iterable<string>,
): Promise<Holdings> {
  // One Query is one transaction: what is set locally in its last statement ends with it.
  const texts = [HOLDINGS + customSql(customNames), ...comparison(vector)];
  const rows = await simpleQuery(backend, texts.join(';\n'));
  const all: Holding[] = [];
  const deviating: string[] = [];
  const actual = new Map<string, string | null>();
  for (const [about, name, value] of rows) {
    if (typeof name !== 'string') continue;
    if (about === 'has') actual.set(name, value ?? null);
    else if (about !== 'means') all.push({ kind: about as LeakKind, name, value: value ?? '' });
    else if (actual.get(name) !== value) deviating.push(name);
  }
  return { all, deviating };
}

function customSql(names: Iterable<string>): string {
  const asked = Array.from(names, (name) => {
    const literal = quoteLiteral(name);
    return `\nUNION ALL SELECT 'custom_parameter', ${literal}, value
FROM pg_catalog.current_setting(${literal}, true) AS value WHERE value <> ''`;
  });
  return asked.join('');
}

/** Which values there are, and how the server writes those that there should be. */
function comparison({ values }: ParameterVector): readonly string[] {
  if (values.size === 0) return [];
  const has = Array.from(values.keys(), (name) => {
    const literal = quoteLiteral(name);
    return `SELECT 'has', ${literal}, pg_catalog.current_setting(${literal}, true)`;
  });
  const means = Array.from(values, ([name, value]) => {
    const literal = quoteLiteral(name);
    const set = `pg_catalog.set_config(${literal}, ${quoteLiteral(value)}, true)`;
    return `SELECT 'means', ${literal}, ${set}`;
  });
  return [has.join('\nUNION ALL '), means.join('\nUNION ALL ')];
}

/** Whether the session remembers a value of a sequence; the server calls "no" an error. */
export async function remembersSequence(backend: PostgresBackend): Promise<boolean> {
  try {
    await simpleQuery(backend, 'SELECT pg_catalog.lastval()');
    return true;
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    const { code } = error.fields;
    // There is one that this role must not read.
    if (code === INSUFFICIENT_PRIVILEGE) return true;
    if (code === NOT_YET_DEFINED) return false;
    throw error;
  }
}

const INSUFFICIENT_PRIVILEGE = '42501';
const NOT_YET_DEFINED = '55000';
