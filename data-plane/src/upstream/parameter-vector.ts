/**
 * The session parameters a client asked for at its start, and the SQL that gives them to a server
 * connection. They are set with set_config(), which reads a value as the startup packet does (a
 * search_path list stays a list).
 * Source: PostgreSQL manual, "Start-up" in Message Flow, and set_config() in "Configuration
 * Settings Functions".
 */

/** Lower-case parameter names and their values; `key` is equal exactly for equal vectors. */
export interface ParameterVector {
  readonly key: string;
  readonly values: ReadonlyMap<string, string>;
}

export const EMPTY_VECTOR: ParameterVector = Object.freeze({ key: '', values: new Map() });

/** A later entry of the same name wins, as in the startup packet. */
export function parameterVector(entries: Iterable<readonly [string, string]>): ParameterVector {
  const values = new Map<string, string>();
  for (const [name, value] of entries) values.set(name.toLowerCase(), value);
  if (values.size === 0) return EMPTY_VECTOR;
  const sorted = [...values].sort(([a], [b]) => (a < b ? -1 : 1));
  return { key: JSON.stringify(sorted), values };
}

/**
 * The text of one simple Query that takes a session from one vector to another; undefined when they
 * are equal.
 */
export function vectorChangeSql(from: ParameterVector, to: ParameterVector): string | undefined {
  if (from.key === to.key) return undefined;
  const statements: string[] = [];
  for (const name of from.values.keys()) {
    if (!to.values.has(name)) statements.push(`RESET ${quoteName(name)}`);
  }
  const calls = [...to.values].map(
    ([name, value]) =>
      `pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false)`,
  );
  if (calls.length > 0) statements.push(`SELECT ${calls.join(', ')}`);
  return statements.join('; ');
}

/** Right with standard_conforming_strings on and off. */
function quoteLiteral(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

/** Custom parameters have two parts, each a name of its own. */
function quoteName(name: string): string {
  return name
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.');
}
