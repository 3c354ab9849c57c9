/**
 * Statements that define things: only what they leave in the session is told apart, the rest is
 * `ddl`.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (CreateStmt, OptTemp, CreateAsStmt,
 * CreateMatViewStmt).
 */
import type { Cursor } from './cursor.ts';
import { mentionsOf } from './mentions.ts';
import { isTemporarySchema } from './names.ts';
import type { Statement, TableSource } from './statement.ts';
import type { Token } from './tokens.ts';

const DDL_VERBS = 'alter comment drop grant import reassign revoke security';
const MAINTENANCE_VERBS = 'analyse analyze checkpoint cluster reindex vacuum';

export const DEFINITION_STATEMENTS: ReadonlyMap<string, (cursor: Cursor) => Statement | undefined> =
  new Map([
    ['create', parseCreate],
    ['refresh', parseRefresh],
    ...DDL_VERBS.split(' ').map((verb) => [verb, parseDdl] as const),
    ...MAINTENANCE_VERBS.split(' ').map((verb) => [verb, parseMaintenance] as const),
  ]);

function parseDdl(cursor: Cursor): Statement {
  const verb = cursor.word();
  const object = cursor.word(1);
  cursor.skipAll();
  return { kind: 'ddl', verb, object };
}

function parseMaintenance(cursor: Cursor): Statement {
  const verb = cursor.word();
  cursor.skipAll();
  return { kind: 'maintenance', verb: verb === 'analyse' ? 'analyze' : verb };
}

/**
 * REFRESH MATERIALIZED VIEW: its query runs under the owner, restricted as in the other commands of
 * this kind.
 */
export function parseRefresh(cursor: Cursor): Statement {
  return parseMaintenance(cursor);
}

export function parseCreate(cursor: Cursor): Statement {
  cursor.skip();
  cursor.take('or', 'replace');
  const temporary = takeTemporary(cursor) || namesTemporarySchema(cursor);
  cursor.take('unlogged');
  const object = cursor.word();
  const as = EXECUTES_QUERY.has(object) ? cursor.find('as') : undefined;
  const lifetime = endsOnCommit(cursor, as ?? cursor.to) ? 'transaction' : 'session';
  const source = as === undefined ? 'nothing' : sourceBehind(cursor, as);
  cursor.skipAll();
  if (temporary) return { kind: 'create_temp', lifetime, source };
  if (source === 'nothing') return { kind: 'ddl', verb: 'create', object };
  return { kind: 'create_table_as', source };
}

/** What may be created from a query that runs at once: a table or a materialized view. */
const EXECUTES_QUERY: ReadonlySet<string> = new Set(['materialized', 'table']);

function takeTemporary(cursor: Cursor): boolean {
  if (!cursor.take('local')) cursor.take('global');
  return cursor.take('temp') || cursor.take('temporary');
}

function namesTemporarySchema(cursor: Cursor): boolean {
  const { from, to } = cursor.rest;
  const { tokens } = cursor.source;
  for (let at = from; at + 1 < to; at++) {
    const token = tokens[at] as Token;
    const isName = token.kind === 'word' || token.kind === 'quoted';
    if (isName && tokens[at + 1]?.text === '.' && isTemporarySchema(token.text)) return true;
  }
  return false;
}

/** ON COMMIT DROP, between the columns and the query. */
function endsOnCommit(cursor: Cursor, to: number): boolean {
  const commit = cursor.find('commit');
  if (commit === undefined || commit >= to) return false;
  const { tokens } = cursor.source;
  return tokens[commit - 1]?.text === 'on' && tokens[commit + 1]?.text === 'drop';
}

function sourceBehind(cursor: Cursor, as: number): TableSource {
  const { source, to } = cursor;
  if (source.tokens[as + 1]?.text === 'execute') return 'execute';
  return mentionsOf(source, { from: as + 1, to });
}
