/**
 * BEGIN, COMMIT, savepoints and two-phase commit.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (TransactionStmt, transaction_mode_list).
 */
import type { Cursor } from './cursor.ts';
import type { Statement, TransactionModes } from './statement.ts';

export function parseBegin(cursor: Cursor): Statement | undefined {
  cursor.skip();
  takeTransactionWord(cursor);
  const modes = cursor.atEnd ? {} : parseModes(cursor);
  return modes === undefined ? undefined : { kind: 'begin', ...modes };
}

export function parseStart(cursor: Cursor): Statement | undefined {
  if (!cursor.take('start', 'transaction')) return undefined;
  const modes = cursor.atEnd ? {} : parseModes(cursor);
  return modes === undefined ? undefined : { kind: 'begin', ...modes };
}

export function parseCommit(cursor: Cursor): Statement | undefined {
  if (cursor.take('commit', 'prepared')) {
    return cursor.takeString() && { kind: 'commit_prepared' };
  }
  cursor.skip();
  takeTransactionWord(cursor);
  return { kind: 'commit', chain: takeChain(cursor) };
}

export function parseRollback(cursor: Cursor): Statement | undefined {
  if (cursor.take('rollback', 'prepared')) {
    return cursor.takeString() && { kind: 'rollback_prepared' };
  }
  const rollback = cursor.word() === 'rollback';
  cursor.skip();
  takeTransactionWord(cursor);
  if (rollback && cursor.take('to')) {
    const name = takeSavepointName(cursor);
    return name === undefined ? undefined : { kind: 'rollback_to', name };
  }
  return { kind: 'rollback', chain: takeChain(cursor) };
}

export function parseSavepoint(cursor: Cursor): Statement | undefined {
  cursor.skip();
  const name = cursor.takeName();
  return name === undefined ? undefined : { kind: 'savepoint', name };
}

export function parseRelease(cursor: Cursor): Statement | undefined {
  cursor.skip();
  const name = takeSavepointName(cursor);
  return name === undefined ? undefined : { kind: 'release', name };
}

/** The modes up to the end of the statement; undefined when something else is there. */
export function parseModes(cursor: Cursor): TransactionModes | undefined {
  let modes: TransactionModes | undefined;
  do {
    const mode = takeMode(cursor);
    if (mode === undefined) return undefined;
    modes = { ...modes, ...mode };
    // The comma between two modes may be left out, but none may end the list.
    if (cursor.takeSign(',') && cursor.atEnd) return undefined;
  } while (!cursor.atEnd);
  return modes;
}

function takeMode(cursor: Cursor): TransactionModes | undefined {
  if (cursor.take('isolation', 'level')) return takeIsolation(cursor);
  if (cursor.take('read', 'only')) return { access: 'read_only' };
  if (cursor.take('read', 'write')) return { access: 'read_write' };
  if (cursor.take('deferrable')) return { deferrable: 'deferrable' };
  if (cursor.take('not', 'deferrable')) return { deferrable: 'not_deferrable' };
  return undefined;
}

function takeIsolation(cursor: Cursor): TransactionModes | undefined {
  if (cursor.take('read', 'uncommitted')) return { isolation: 'read_uncommitted' };
  if (cursor.take('read', 'committed')) return { isolation: 'read_committed' };
  if (cursor.take('repeatable', 'read')) return { isolation: 'repeatable_read' };
  if (cursor.take('serializable')) return { isolation: 'serializable' };
  return undefined;
}

function takeTransactionWord(cursor: Cursor): void {
  if (!cursor.take('work')) cursor.take('transaction');
}

function takeChain(cursor: Cursor): 'chain' | 'no_chain' {
  if (cursor.take('and', 'chain')) return 'chain';
  cursor.take('and', 'no', 'chain');
  return 'no_chain';
}

/** [SAVEPOINT] name, where the name itself may be "savepoint". */
function takeSavepointName(cursor: Cursor): string | undefined {
  if (cursor.word() === 'savepoint' && cursor.peek(1) !== undefined) cursor.skip();
  return cursor.takeName();
}
