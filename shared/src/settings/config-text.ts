/**
 * What a config file says as the text of one. Owns: the form, comments at its head, and that
 * nothing in a value is taken for a variable when it is read.
 */
import type { WrittenTenant } from '../contract/written-tenant.ts';
import { toYaml, yamlOfRecords } from './yaml-text.ts';

export interface FileContent {
  /** Lines of a comment. */
  readonly head: readonly string[];
  /** Of the process, nested as in the file. */
  readonly settings: WrittenTenant;
  readonly defaults: WrittenTenant;
  readonly servers: Readonly<Record<string, WrittenTenant>>;
  readonly tenants: Readonly<Record<string, WrittenTenant>>;
}

/** Piece by piece: there may be 100,000 tenants. */
export function* configFileText(content: FileContent): Iterable<string> {
  const { head, settings, defaults, servers, tenants } = content;
  yield commentOf(head);
  if (Object.keys(settings).length > 0) yield toYaml(withEscapes(settings));
  if (Object.keys(defaults).length > 0) yield toYaml({ defaults: withEscapes(defaults) });
  if (Object.keys(servers).length > 0) yield* yamlOfRecords('servers', escapedEach(servers));
  yield* yamlOfRecords('tenants', escapedEach(tenants));
}

function escapedEach(records: FileContent['tenants']): FileContent['tenants'] {
  const entries = Object.entries(records).map(([id, record]) => [id, withEscapes(record)] as const);
  return Object.fromEntries(entries);
}

/** Fields whose `${NAME}` stays a reference when a file is read. */
const REFERENCE_FIELDS: ReadonlySet<string> = new Set(['password', 'server_password', 'key']);
const WHOLE_REFERENCE = /^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/;

/** So that nothing that looks like a variable is filled in when it is read. */
function withEscapes(value: WrittenTenant): WrittenTenant {
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, escaped(member, name)]),
  );
}

function escaped(value: unknown, field: string): unknown {
  if (Array.isArray(value)) return value.map((entry) => escaped(entry, field));
  if (typeof value === 'object' && value !== null) return withEscapes(value as WrittenTenant);
  if (typeof value !== 'string') return value;
  const isReference = REFERENCE_FIELDS.has(field) && WHOLE_REFERENCE.test(value);
  return isReference ? value : value.replaceAll('${', () => '$${');
}

// oxlint-disable-next-line no-control-regex -- a comment ends at the end of its line
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

function commentOf(lines: readonly string[]): string {
  return lines.map((line) => `# ${line.replaceAll(CONTROL, ' ')}`.trimEnd() + '\n').join('') + '\n';
}
