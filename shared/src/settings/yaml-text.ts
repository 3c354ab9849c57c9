/** Plain values as YAML text, for people to read and for config files. */
import { stringify } from 'yaml';

/** Lines are not folded: what is searched for is found in one. */
export function toYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0 });
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * The text of `toYaml({ [name]: records })`, record by record: of 100,000 of them it takes a tenth
 * of the time, and no tree of all of them.
 */
export function* yamlOfRecords(name: string, records: Readonly<Record<string, Fields>>) {
  const entries = Object.entries(records);
  if (entries.length === 0) yield toYaml({ [name]: {} });
  else yield `${plain(name)}:\n`;
  for (const [key, fields] of entries) {
    const members = Object.entries(fields);
    if (members.length === 0) yield indented({ [key]: {} }, '  ');
    else yield `  ${plain(key)}:\n${members.map(memberOf).join('')}`;
  }
}

function memberOf([name, value]: readonly [string, unknown]): string {
  const text = simple(value);
  return text === undefined ? indented({ [name]: value }, '    ') : `    ${plain(name)}: ${text}\n`;
}

/** The text of most values; the others are left to the library. */
function simple(value: unknown): string | undefined {
  if (typeof value === 'string') return isPlain(value) ? value : undefined;
  if (Number.isSafeInteger(value)) return Object.is(value, -0) ? '-0' : `${value as number}`;
  return Array.isArray(value) && value.length === 0 ? '[]' : undefined;
}

function indented(value: Fields, by: string): string {
  const lines = toYaml(value).split('\n');
  return lines.map((line) => (line === '' ? '' : by + line)).join('\n');
}

/** How the library writes a text alone, as a name or a value. */
function plain(text: string): string {
  return isPlain(text) ? text : toYaml(text).trimEnd();
}

/** What nobody takes for anything but a text: source YAML 1.2, §10.3.2. */
function isPlain(text: string): boolean {
  return PLAIN.test(text) && !RESERVED.test(text);
}

const PLAIN = /^[A-Za-z][A-Za-z0-9_]*([.-][A-Za-z0-9_]+)*$/;
const RESERVED = /^(true|false|null)$/i;
