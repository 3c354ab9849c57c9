/**
 * SET, RESET, SHOW and DISCARD: which parameter gets which value.
 * Owns: the parameter behind each special form (SET NAMES, SET ROLE …) and the value as one text. A
 * name or value that is not certain makes `set_unparsable`.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (VariableSetStmt, set_rest),
 * flatten_set_variable_args() in src/backend/utils/misc/guc_funcs.c, quote_identifier() in
 * ruleutils.c.
 */
import { Cursor } from './cursor.ts';
import { KEYWORDS } from './keywords.ts';
import { numberValue } from './literals.ts';
import { parseModes } from './parse-transaction.ts';
import type {
  DiscardTarget,
  Setting,
  SettingScope,
  Statement,
  TransactionModes,
} from './statement.ts';

/**
 * Lists of names: the server quotes each where it must. Extensions cannot define such parameters.
 */
const NAME_LISTS: ReadonlySet<string> = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

/**
 * Set for the transaction only, whatever the scope says: each transaction begins with its default_…
 * again.
 */
const TRANSACTION_SETTINGS: ReadonlySet<string> = new Set([
  'transaction_deferrable',
  'transaction_isolation',
  'transaction_read_only',
]);

const FORMER_NAMES: ReadonlyMap<string, string> = new Map([
  ['sort_mem', 'work_mem'],
  ['vacuum_mem', 'maintenance_work_mem'],
]);

export function parseSet(cursor: Cursor): Statement {
  cursor.skip();
  if (cursor.take('constraints')) {
    cursor.skipAll();
    return { kind: 'set_constraints' };
  }
  const scope = takeScope(cursor);
  const { rest } = cursor;
  const statement = parseSpecial(cursor, scope) ?? parseAssignment(cursor, scope);
  if (statement !== undefined && cursor.atEnd) return statement;
  cursor.skipAll();
  return { kind: 'set_unparsable', scope, name: assignedName(new Cursor(cursor.source, rest)) };
}

/** The parameter of a SET whose value is not certain, where that is plain to see. */
function assignedName(cursor: Cursor): string | undefined {
  if (cursor.take('time', 'zone')) return 'timezone';
  const name = takeParameterName(cursor);
  return isAssignment(cursor, 0) ? name : undefined;
}

/**
 * SESSION and LOCAL may also be names of parameters, or begin SESSION AUTHORIZATION and SESSION
 * CHARACTERISTICS.
 */
function takeScope(cursor: Cursor): SettingScope {
  if (isAssignment(cursor, 1)) return 'session';
  if (cursor.take('local')) return 'local';
  const next = cursor.word(1);
  if (next !== 'authorization' && next !== 'characteristics') cursor.take('session');
  return 'session';
}

function isAssignment(cursor: Cursor, ahead: number): boolean {
  return cursor.word(ahead) === 'to' || cursor.sign(ahead) === '=';
}

/** The forms without TO or =; undefined when it is none of them. */
function parseSpecial(cursor: Cursor, scope: SettingScope): Statement | undefined {
  if (isAssignment(cursor, 1)) return undefined;
  if (cursor.take('transaction')) return parseTransaction(cursor);
  if (cursor.take('session', 'characteristics', 'as', 'transaction')) {
    const modes = parseModes(cursor);
    return modes && { kind: 'set', scope, settings: defaultsOf(modes) };
  }
  if (cursor.take('session', 'authorization')) {
    return single(scope, 'session_authorization', takeWordOrString(cursor));
  }
  if (cursor.take('time', 'zone')) return single(scope, 'timezone', takeTimeZone(cursor));
  if (cursor.take('names')) {
    const value = cursor.atEnd ? DEFAULT : (takeDefault(cursor) ?? takeStringValue(cursor));
    return single(scope, 'client_encoding', value);
  }
  if (cursor.take('role')) return single(scope, 'role', takeNamedWordOrString(cursor));
  if (cursor.take('schema')) return single(scope, 'search_path', takeStringValue(cursor));
  if (cursor.take('xml', 'option')) return single(scope, 'xmloption', takeXmlOption(cursor));
  return undefined;
}

function parseTransaction(cursor: Cursor): Statement | undefined {
  if (cursor.take('snapshot')) return cursor.takeString() && { kind: 'set_transaction_snapshot' };
  const modes = parseModes(cursor);
  return modes && { kind: 'set_transaction', ...modes };
}

function defaultsOf(modes: TransactionModes): Setting[] {
  const settings: Setting[] = [];
  if (modes.isolation !== undefined) {
    const value = modes.isolation.replace('_', ' ');
    settings.push({ name: 'default_transaction_isolation', value });
  }
  if (modes.access !== undefined) {
    const value = modes.access === 'read_only' ? 'on' : 'off';
    settings.push({ name: 'default_transaction_read_only', value });
  }
  if (modes.deferrable !== undefined) {
    const value = modes.deferrable === 'deferrable' ? 'on' : 'off';
    settings.push({ name: 'default_transaction_deferrable', value });
  }
  return settings;
}

/** name TO value, … */
function parseAssignment(cursor: Cursor, scope: SettingScope): Statement | undefined {
  const name = takeParameterName(cursor);
  if (name === undefined || !(cursor.take('to') || cursor.takeSign('='))) return undefined;
  if (takeDefault(cursor)) return single(scope, name, DEFAULT);
  const items: string[] = [];
  do {
    const item = takeNumber(cursor) ?? takeListedWord(cursor);
    if (item === undefined) return undefined;
    items.push(item);
  } while (cursor.takeSign(','));
  const texts = NAME_LISTS.has(name) ? items.map(quoteName) : items;
  return single(scope, name, { value: texts.join(', ') });
}

// ---- values ----

interface Value {
  readonly value: string | undefined;
}

const DEFAULT: Value = Object.freeze({ value: undefined });

function single(
  scope: SettingScope,
  name: string,
  value: Value | undefined,
): Statement | undefined {
  if (value === undefined) return undefined;
  const actual = TRANSACTION_SETTINGS.has(name) ? 'local' : scope;
  return { kind: 'set', scope: actual, settings: [{ name, value: value.value }] };
}

function takeDefault(cursor: Cursor): Value | undefined {
  return cursor.take('default') ? DEFAULT : undefined;
}

/** A string whose value is certain. */
function takeStringValue(cursor: Cursor): Value | undefined {
  const value = cursor.takeString()?.value;
  return value === undefined ? undefined : { value };
}

function takeNamedWordOrString(cursor: Cursor): Value | undefined {
  const word = cursor.takeNonReserved();
  return word === undefined ? takeStringValue(cursor) : certain(word);
}

function takeWordOrString(cursor: Cursor): Value | undefined {
  return takeDefault(cursor) ?? takeNamedWordOrString(cursor);
}

function takeListedWord(cursor: Cursor): string | undefined {
  for (const word of ['true', 'false', 'on']) if (cursor.take(word)) return word;
  return takeNamedWordOrString(cursor)?.value;
}

/** Decoding may have lost what a quoted name was. */
function certain(value: string): Value | undefined {
  return value.includes('\ufffd') ? undefined : { value };
}

function takeNumber(cursor: Cursor): string | undefined {
  const sign = cursor.sign();
  const signed = sign === '-' || sign === '+';
  const token = cursor.peek(signed ? 1 : 0);
  if (token?.kind !== 'number') return undefined;
  const digits = numberValue(cursor.source.sql, token);
  if (digits === undefined) return undefined;
  cursor.skip(signed ? 2 : 1);
  return sign === '-' ? `-${digits}` : digits;
}

/** INTERVAL '…' is left out: the server writes it anew. */
function takeTimeZone(cursor: Cursor): Value | undefined {
  if (cursor.take('local')) return DEFAULT;
  const number = takeNumber(cursor);
  if (number !== undefined) return { value: number };
  const token = cursor.peek();
  if (token?.kind === 'word' && KEYWORDS.has(token.text)) return takeDefault(cursor);
  return takeNamedWordOrString(cursor);
}

function takeXmlOption(cursor: Cursor): Value | undefined {
  for (const value of ['document', 'content']) if (cursor.take(value)) return { value };
  return undefined;
}

/** As the server's quote_identifier(): quotes only where needed. */
function quoteName(name: string): string {
  const keyword = KEYWORDS.get(name);
  const plain = /^[a-z_][a-z0-9_]*$/.test(name);
  if (plain && (keyword === undefined || keyword === 'unreserved')) return name;
  return `"${name.replaceAll('"', '""')}"`;
}

// ---- names ----

/** Names of parameters are compared without regard to case, quoted or not. */
function takeParameterName(cursor: Cursor): string | undefined {
  let name = cursor.takeName();
  while (name !== undefined && cursor.takeSign('.')) {
    const part = cursor.takeName();
    name = part === undefined ? undefined : `${name}.${part}`;
  }
  if (name === undefined || name.includes('\ufffd')) return undefined;
  const folded = name.replace(/[A-Z]+/g, (capitals) => capitals.toLowerCase());
  return FORMER_NAMES.get(folded) ?? folded;
}

/** The forms that RESET and SHOW have in common. */
function takeReadName(cursor: Cursor): string | undefined {
  if (cursor.take('time', 'zone')) return 'timezone';
  if (cursor.take('transaction', 'isolation', 'level')) return 'transaction_isolation';
  if (cursor.take('session', 'authorization')) return 'session_authorization';
  return takeParameterName(cursor);
}

export function parseReset(cursor: Cursor): Statement | undefined {
  cursor.skip();
  if (cursor.take('all')) return { kind: 'reset_all' };
  const name = takeReadName(cursor);
  return name === undefined ? undefined : { kind: 'reset', name };
}

export function parseShow(cursor: Cursor): Statement | undefined {
  cursor.skip();
  const name = cursor.take('all') ? 'all' : takeReadName(cursor);
  return name === undefined ? undefined : { kind: 'show', name };
}

const DISCARD_TARGETS: ReadonlyMap<string, DiscardTarget> = new Map([
  ['all', 'all'],
  ['plans', 'plans'],
  ['sequences', 'sequences'],
  ['temp', 'temp'],
  ['temporary', 'temp'],
]);

export function parseDiscard(cursor: Cursor): Statement | undefined {
  cursor.skip();
  const what = DISCARD_TARGETS.get(cursor.word());
  cursor.skip();
  return what && { kind: 'discard', what };
}
