/**
 * Statements over data: queries, writes, COPY, EXPLAIN, PREPARE and cursors.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (PreparableStmt, ExplainStmt, CopyStmt,
 * DeclareCursorStmt).
 */
import type { Cursor } from './cursor.ts';
import { mentionsOf } from './mentions.ts';
import type { QueryFacts } from './mentions.ts';
import { parseCreate, parseRefresh } from './parse-definition.ts';
import { parseExecute } from './parse-session.ts';
import type { CopyEndpoint, Statement, WriteVerb } from './statement.ts';

/** SELECT, VALUES, TABLE, WITH, or a query in parentheses. */
export function parseQuery(cursor: Cursor): Statement {
  const query = takeQuery(cursor);
  if (query.effect === 'writes') return { kind: 'write', verb: 'with', query };
  if (query.into === 'temporary') {
    return { kind: 'create_temp', lifetime: 'session', source: query };
  }
  if (query.into === 'permanent') return { kind: 'create_table_as', source: query };
  return { kind: query.effect === 'locks_rows' ? 'locking_read' : 'read', query };
}

function parseWrite(verb: WriteVerb): (cursor: Cursor) => Statement {
  return (cursor) => ({ kind: 'write', verb, query: takeQuery(cursor) });
}

/** What EXPLAIN and PREPARE take, and for each the words it begins with. */
const PREPARABLE: ReadonlyMap<string, (cursor: Cursor) => Statement | undefined> = new Map([
  ['select', parseQuery],
  ['values', parseQuery],
  ['table', parseQuery],
  ['with', parseQuery],
  ['insert', parseWrite('insert')],
  ['update', parseWrite('update')],
  ['delete', parseWrite('delete')],
  ['merge', parseWrite('merge')],
]);

const EXPLAINABLE: ReadonlyMap<string, (cursor: Cursor) => Statement | undefined> = new Map([
  ...PREPARABLE,
  ['declare', parseDeclare],
  ['create', parseCreate],
  ['refresh', parseRefresh],
  ['execute', parseExecute],
]);

export const DATA_STATEMENTS: ReadonlyMap<string, (cursor: Cursor) => Statement | undefined> =
  new Map([
    ...PREPARABLE,
    ['truncate', parseTruncate],
    ['copy', parseCopy],
    ['explain', parseExplain],
    ['prepare', parsePrepare],
    ['declare', parseDeclare],
  ]);

function parseInner(
  cursor: Cursor,
  parsers: ReadonlyMap<string, (cursor: Cursor) => Statement | undefined>,
): Statement | undefined {
  const parser = cursor.sign() === '(' ? parseQuery : parsers.get(cursor.word());
  return parser?.(cursor);
}

function takeQuery(cursor: Cursor): QueryFacts {
  const query = mentionsOf(cursor.source, cursor.rest);
  cursor.skipAll();
  return query;
}

/** The relations are the tables emptied, whose triggers fire. */
function parseTruncate(cursor: Cursor): Statement {
  cursor.skip();
  cursor.take('table');
  const relations: (readonly string[])[] = [];
  do {
    cursor.take('only');
    const name = takeQualifiedName(cursor);
    if (name !== undefined) relations.push(name);
    cursor.takeSign('*');
  } while (cursor.takeSign(','));
  cursor.skipAll();
  return { kind: 'write', verb: 'truncate', query: { ...NO_QUERY, relations, effect: 'writes' } };
}

const NO_QUERY: QueryFacts = Object.freeze({
  relations: [],
  functions: [],
  types: [],
  operators: [],
  attributes: [],
  effect: 'reads',
  into: 'nothing',
  setConfig: 'none',
  configures: [],
  mayConfigure: [],
  defaults: 'untouched',
});

function takeQualifiedName(cursor: Cursor): readonly string[] | undefined {
  const parts: string[] = [];
  do {
    const part = cursor.takeName();
    if (part === undefined) return undefined;
    parts.push(part);
  } while (cursor.takeSign('.'));
  return parts;
}

/**
 * EXPLAIN [ANALYZE] [VERBOSE] …, or with options in parentheses; any mention of ANALYZE there
 * counts.
 */
function parseExplain(cursor: Cursor): Statement | undefined {
  cursor.skip();
  let mode: 'plan' | 'execute' = 'plan';
  if (cursor.sign() === '(' && !beginsQuery(cursor)) {
    while (!cursor.atEnd && !cursor.takeSign(')')) {
      if (isAnalyze(cursor.peek()?.text)) mode = 'execute';
      cursor.skip();
    }
  } else {
    if (isAnalyze(cursor.word())) {
      mode = 'execute';
      cursor.skip();
    }
    cursor.take('verbose');
  }
  const statement = parseInner(cursor, EXPLAINABLE);
  return statement && { kind: 'explain', mode, statement };
}

function beginsQuery(cursor: Cursor): boolean {
  return cursor.sign(1) === '(' || ['select', 'with', 'values', 'table'].includes(cursor.word(1));
}

function isAnalyze(word: string | undefined): boolean {
  return word === 'analyze' || word === 'analyse';
}

/** PREPARE name [(types)] AS statement; PREPARE TRANSACTION. */
function parsePrepare(cursor: Cursor): Statement | undefined {
  cursor.skip();
  if (cursor.word() === 'transaction' && cursor.peek(1)?.kind === 'string') {
    cursor.skip(2);
    return { kind: 'prepare_transaction' };
  }
  const name = cursor.takeName();
  const as = cursor.find('as');
  if (name === undefined || as === undefined) return undefined;
  if (as > cursor.at && cursor.sign() !== '(') return undefined;
  cursor.skip(as + 1 - cursor.at);
  const statement = parseInner(cursor, PREPARABLE);
  return statement && { kind: 'prepare', name, statement };
}

function parseDeclare(cursor: Cursor): Statement | undefined {
  cursor.skip();
  const name = cursor.takeName();
  const options = cursor.find('for');
  if (name === undefined || options === undefined) return undefined;
  let hold: 'with_hold' | 'without_hold' = 'without_hold';
  while (cursor.at < options) {
    if (cursor.take('with', 'hold')) hold = 'with_hold';
    else cursor.skip();
  }
  cursor.skip();
  return { kind: 'declare_cursor', name, hold, query: takeQuery(cursor) };
}

/** COPY relation [(columns)] or (query), FROM or TO, what, options, WHERE. */
function parseCopy(cursor: Cursor): Statement | undefined {
  cursor.skip();
  cursor.take('binary');
  const start = cursor.at;
  const relation = takeQualifiedName(cursor);
  const direction = cursor.find('from', 'to');
  if (direction === undefined) return undefined;
  const { tokens } = cursor.source;
  const inward = tokens[direction]?.text === 'from';
  const inside = { from: start + 1, to: direction - 1 };
  const query =
    relation === undefined
      ? mentionsOf(cursor.source, inside)
      : { ...NO_QUERY, relations: [relation] };
  cursor.skip(direction + 1 - cursor.at);
  const endpoint = takeEndpoint(cursor);
  if (endpoint === undefined) return undefined;
  const where = inward ? cursor.find('where') : undefined;
  const condition =
    where === undefined ? NO_QUERY : mentionsOf(cursor.source, { from: where, to: cursor.to });
  cursor.skipAll();
  return {
    kind: 'copy',
    direction: inward ? 'in' : 'out',
    endpoint,
    query: { ...query, ...joined(query, condition) },
  };
}

function takeEndpoint(cursor: Cursor): CopyEndpoint | undefined {
  if (cursor.take('stdin') || cursor.take('stdout')) return 'client';
  const program = cursor.take('program');
  if (cursor.takeString() === undefined) return undefined;
  return program ? 'program' : 'file';
}

function joined(a: QueryFacts, b: QueryFacts): Partial<QueryFacts> {
  return {
    relations: [...a.relations, ...b.relations],
    functions: [...a.functions, ...b.functions],
    types: [...a.types, ...b.types],
    operators: [...a.operators, ...b.operators],
    attributes: [...a.attributes, ...b.attributes],
    setConfig: a.setConfig === 'session' || b.setConfig === 'none' ? a.setConfig : b.setConfig,
  };
}
