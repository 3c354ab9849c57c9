/**
 * Statements over what a session holds: prepared statements, channels, cursors; and DO and CALL.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (ExecuteStmt, DeallocateStmt, ListenStmt,
 * ClosePortalStmt, …).
 */
import type { Cursor } from './cursor.ts';
import type { Statement, Target } from './statement.ts';

export const SESSION_STATEMENTS: ReadonlyMap<string, (cursor: Cursor) => Statement | undefined> =
  new Map([
    ['execute', parseExecute],
    ['deallocate', parseDeallocate],
    ['listen', parseListen],
    ['unlisten', parseUnlisten],
    ['notify', parseNotify],
    ['close', parseClose],
    ['fetch', wholly({ kind: 'fetch' })],
    ['move', wholly({ kind: 'move' })],
    ['lock', wholly({ kind: 'lock_table' })],
    ['load', parseLoad],
    ['do', wholly({ kind: 'do' })],
    ['call', wholly({ kind: 'call' })],
  ]);

function wholly(statement: Statement): (cursor: Cursor) => Statement {
  return (cursor) => {
    cursor.skipAll();
    return statement;
  };
}

export function parseExecute(cursor: Cursor): Statement | undefined {
  cursor.skip();
  const name = cursor.takeName();
  cursor.skipAll();
  return name === undefined ? undefined : { kind: 'execute', name };
}

function parseDeallocate(cursor: Cursor): Statement | undefined {
  cursor.skip();
  if (cursor.word() === 'prepare' && cursor.peek(1) !== undefined) cursor.skip();
  const target = takeTarget(cursor, cursor.take('all'));
  return target && { kind: 'deallocate', target };
}

function parseClose(cursor: Cursor): Statement | undefined {
  cursor.skip();
  const target = takeTarget(cursor, cursor.take('all'));
  return target && { kind: 'close', target };
}

function parseUnlisten(cursor: Cursor): Statement | undefined {
  cursor.skip();
  const target = takeTarget(cursor, cursor.takeSign('*'));
  return target && { kind: 'unlisten', target };
}

function takeTarget(cursor: Cursor, every: boolean): Target | undefined {
  if (every) return 'every';
  const name = cursor.takeName();
  return name === undefined ? undefined : { name };
}

function parseListen(cursor: Cursor): Statement | undefined {
  cursor.skip();
  const channel = cursor.takeName();
  return channel === undefined ? undefined : { kind: 'listen', channel };
}

function parseNotify(cursor: Cursor): Statement | undefined {
  cursor.skip();
  const channel = cursor.takeName();
  if (cursor.takeSign(',') && cursor.takeString() === undefined) return undefined;
  return channel === undefined ? undefined : { kind: 'notify', channel };
}

function parseLoad(cursor: Cursor): Statement | undefined {
  cursor.skip();
  return cursor.takeString() && { kind: 'load' };
}
