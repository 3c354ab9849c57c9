/**
 * The session parameters of one client or one server connection, beyond what the login gave, and
 * the SQL that takes a session from one to another. They are set with set_config(), which reads a
 * value as the startup packet does (a search_path list stays a list).
 * Values are kept byte for byte (latin1), as the client's encoding has them.
 * Source: PostgreSQL manual, "Start-up" in Message Flow, and set_config() in "Configuration
 * Settings Functions".
 */
import { parsingEffect } from './parameter-kinds.ts';

/** Lower-case parameter names and their values. */
export interface ParameterVector {
  /** Equal exactly for equal vectors. */
  readonly key: string;
  /** The same for those parameters that the meaning of a statement depends on. */
  readonly parsingKey: string;
  readonly values: ReadonlyMap<string, string>;
}

export const EMPTY_VECTOR: ParameterVector = Object.freeze({
  key: '',
  parsingKey: '',
  values: new Map(),
});

/** A later entry of the same name wins, as in the startup packet. */
export function parameterVector(entries: Iterable<readonly [string, string]>): ParameterVector {
  const values = new Map<string, string>();
  for (const [name, value] of entries) values.set(foldParameterName(name), value);
  if (values.size === 0) return EMPTY_VECTOR;
  const sorted = [...values].sort(([a], [b]) => (a < b ? -1 : 1));
  const parsing = sorted.filter(([name]) => parsingEffect(name) !== 'nothing');
  return Object.freeze({
    key: JSON.stringify(sorted),
    parsingKey: parsing.length === 0 ? '' : JSON.stringify(parsing),
    values,
  });
}

/** Only ASCII, as the server compares them: other bytes are parts of characters. */
export function foldParameterName(name: string): string {
  return name.replace(/[A-Z]+/g, (capitals) => capitals.toLowerCase());
}

/** `vector` with another value of one parameter; undefined takes the parameter out. */
export function withParameter(
  vector: ParameterVector,
  name: string,
  value: string | undefined,
): ParameterVector {
  if (vector.values.get(name) === value) return vector;
  const entries = [...vector.values].filter(([other]) => other !== name);
  return parameterVector(value === undefined ? entries : [...entries, [name, value]]);
}

/**
 * The texts of simple Queries that take a session from one vector to another; none when they are
 * equal. What the role or the time limits of one client would forbid is done while they do not
 * hold: they go first and come last. Only values that are sent behind the right client_encoding are
 * read as they are meant.
 */
export function vectorChangeSql(from: ParameterVector, to: ParameterVector): readonly string[] {
  if (from.key === to.key) return [];
  const resets = [...from.values.keys()].filter((name) => !to.values.has(name));
  const sets = [...to.values].filter(([name, value]) => from.values.get(name) !== value);
  const role = to.values.get('role');
  if (from.values.has('role') && role !== undefined) {
    resets.push('role');
    if (role === from.values.get('role')) sets.push(['role', role]);
  }
  resets.sort((a, b) => weight(b) - weight(a));
  sets.sort(([a], [b]) => weight(a) - weight(b));
  const encoding = sets.filter(([name]) => name === 'client_encoding');
  const others = sets.filter(([name]) => name !== 'client_encoding');
  const reset = resets.map((name) => `RESET ${quoteName(name)}`).join('; ');
  const texts = [reset, settingSql(encoding) ?? '', settingSql(others) ?? ''];
  const needed = texts.filter((text) => text !== '');
  const inOneEncoding = from.values.get('client_encoding') === to.values.get('client_encoding');
  return inOneEncoding ? [needed.join('; ')] : needed;
}

/**
 * The text of a Query that sets parameters, in their order; undefined for none. A value beyond
 * ASCII must be in the encoding that the session has.
 */
export function settingSql(
  entries: readonly (readonly [string, string])[],
  scope: 'session' | 'local' = 'session',
): string | undefined {
  const isLocal = scope === 'local';
  const calls = entries.map(
    ([name, value]) =>
      `pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, ${isLocal})`,
  );
  return calls.length === 0 ? undefined : `SELECT ${calls.join(', ')}`;
}

const WEIGHTS: ReadonlyMap<string, number> = new Map([
  ['statement_timeout', 1],
  ['transaction_timeout', 1],
  ['role', 2],
]);

/** The heavier, the later it is set and the sooner it is taken away. */
function weight(name: string): number {
  return WEIGHTS.get(name) ?? 0;
}

/** Right with standard_conforming_strings on and off. */
export function quoteLiteral(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

/** Custom parameters have two parts, each a name of its own. */
function quoteName(name: string): string {
  return name
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.');
}
