/**
 * Turns what a zod schema found wrong into sentences an operator can act on: where, what was given,
 * what is allowed. Used for request bodies and the config file alike. Values of secret fields are
 * never in a sentence.
 */
import { z } from 'zod';
import { unreachable } from '../kernel/assert.ts';

export interface FieldProblem {
  /** As in `tenants.acme.databases[0]`; empty for the whole. */
  readonly path: string;
  readonly message: string;
  /** The same path in parts, for whoever wants to find its place in a file. */
  readonly keys: readonly PropertyKey[];
}

const SECRET_FIELDS: ReadonlySet<PropertyKey> = new Set([
  'password',
  'key',
  'server_password',
  'api_key',
  'master_key',
]);
const SHOWN_CHARS_MAX = 60;

/** One problem for each field that is wrong, in the order of the schema. */
export function explainIssues(
  error: z.ZodError,
  schema: z.core.$ZodType,
  input: unknown,
): readonly FieldProblem[] {
  return error.issues.flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys') {
      return [problem(issue.path, sentence(issue, valueAt(input, issue.path)))];
    }
    const known = knownNames(schema, issue.path, input);
    return issue.keys.map((key) => problem([...issue.path, key], unknownField(key, known)));
  });
}

/** The name among `known` that `name` is most likely a slip of, or nothing. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[-_ ]/g, '');
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(plain(name), plain(candidate)) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(1, Math.floor(name.length / 3))
    ? best.candidate
    : undefined;
}

export function formatPath(keys: readonly PropertyKey[]): string {
  let path = '';
  for (const key of keys) {
    if (typeof key === 'number') path += `[${key}]`;
    else path += path === '' ? String(key) : `.${String(key)}`;
  }
  return path;
}

function problem(keys: readonly PropertyKey[], message: string): FieldProblem {
  return { path: formatPath(keys), message, keys };
}

function unknownField(key: string, known: readonly string[]): string {
  const nearest = nearestName(key, known);
  if (nearest !== undefined) return `is not a known field; did you mean "${nearest}"?`;
  if (known.length === 0) return 'is not a known field; there are none here';
  return `is not a known field; known are ${known.join(', ')}`;
}

function sentence(issue: z.core.$ZodIssue, value: unknown): string {
  const given = show(value, issue.path.at(-1));
  switch (issue.code) {
    case 'invalid_type':
      if (value === undefined) return 'is required';
      if (issue.message !== '' && !issue.message.startsWith('Invalid input')) return issue.message;
      return (
        `must be ${withArticle(issue.expected)};` +
        ` got ${misplaced(issue.expected, value) ?? given}`
      );
    case 'invalid_value':
      if (value === undefined) return `is required: ${oneOf(issue.values)}`;
      if (!issue.message.startsWith('Invalid option')) return issue.message;
      return `must be ${oneOf(issue.values)}; got ${given}`;
    case 'too_small':
      return `must ${atLeast(issue)}; got ${given}`;
    case 'too_big':
      return `must ${atMost(issue)}; got ${given}`;
    case 'unrecognized_keys':
    case 'custom':
    case 'invalid_format':
    case 'invalid_union':
    case 'invalid_key':
    case 'invalid_element':
    case 'not_multiple_of':
      return issue.message;
    default:
      return unreachable(issue);
  }
}

/** Where an object belongs, a text is something that slipped there, a password perhaps. */
function misplaced(expected: string, value: unknown): string | undefined {
  return STRUCTURES.has(expected) && typeof value === 'string' ? 'text' : undefined;
}

const STRUCTURES: ReadonlySet<string> = new Set(['array', 'object', 'record']);

function atLeast(issue: z.core.$ZodIssueTooSmall): string {
  if (issue.origin === 'array') return `have at least ${issue.minimum} entries`;
  if (issue.origin !== 'string') return `be at least ${issue.minimum}`;
  return issue.minimum === 1 ? 'not be empty' : `have at least ${issue.minimum} characters`;
}

function atMost(issue: z.core.$ZodIssueTooBig): string {
  if (issue.origin === 'string') return `have at most ${issue.maximum} characters`;
  return issue.origin === 'array'
    ? `have at most ${issue.maximum} entries`
    : `be at most ${issue.maximum}`;
}

function oneOf(values: readonly unknown[]): string {
  return values.map((value) => JSON.stringify(value)).join(' or ');
}

const TYPE_NAMES: Readonly<Record<string, string>> = Object.freeze({
  int: 'a whole number',
  number: 'a number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
});

function withArticle(type: string): string {
  return TYPE_NAMES[type] ?? type;
}

/** The value for people; of a secret only its kind. */
export function show(value: unknown, field?: PropertyKey): string {
  if (value === undefined) return 'nothing';
  if (field !== undefined && SECRET_FIELDS.has(field)) {
    return value === '' ? 'an empty text' : `a ${typeof value}`;
  }
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value);
  return text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}…` : text;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Readonly<Record<PropertyKey, unknown>>)[key];
  }
  return value;
}

/** The field names that the schema knows at `path` of `input`; read-only ones are not offered. */
function knownNames(
  schema: z.core.$ZodType,
  path: readonly PropertyKey[],
  input: unknown,
): readonly string[] {
  let current = chosen(unwrap(schema), input);
  for (const [index, key] of path.entries()) {
    if (current instanceof z.ZodObject) current = unwrap(current.shape[String(key)]);
    else if (current instanceof z.ZodRecord) current = unwrap(current.valueType);
    else if (current instanceof z.ZodArray) current = unwrap(current.element);
    else return [];
    current = chosen(current, valueAt(input, path.slice(0, index + 1)));
  }
  if (!(current instanceof z.ZodObject)) return [];
  return Object.entries(current.shape)
    .filter(([, field]) => !isReadOnly(field))
    .map(([name]) => name);
}

/** The alternative that `value` is meant to be. */
function chosen(schema: unknown, value: unknown): unknown {
  if (!(schema instanceof z.ZodDiscriminatedUnion)) return schema;
  const { discriminator } = schema.def;
  const named = valueAt(value, [discriminator]);
  return schema.options.find((option) => {
    const field: unknown = option instanceof z.ZodObject ? option.shape[discriminator] : undefined;
    return field instanceof z.ZodType && field.safeParse(named).success;
  });
}

function isReadOnly(field: unknown): boolean {
  return field instanceof z.ZodType && field.meta()?.['readOnly'] === true;
}

function unwrap(schema: unknown): unknown {
  let current = schema;
  while (current instanceof z.ZodOptional || current instanceof z.ZodNullable) {
    current = current.unwrap();
  }
  return current;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
