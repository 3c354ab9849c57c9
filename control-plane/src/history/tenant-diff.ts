/**
 * What differs between two states of a tenant or of the defaults, field by field, under the names
 * and in the forms of REST; and in one line for people. Pure.
 *
 * Of a secret only its place is ever named: that two sealed ones differ reads "changed".
 */
import { isDeepStrictEqual } from 'node:util';
import { POOL_SETTINGS, toPoolAnswer } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import { toTenantFields } from '@dbbouncer/shared/contract/tenant-conversion.ts';
import { operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { describeSecret } from '@dbbouncer/shared/secrets/password.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { JsonValue } from '../store/canonical-json.ts';
import type { TenantView } from '../store/read-models.ts';

export interface FieldChange {
  /** As in REST, with dots into what is nested: `server_tls.mode`, `users.ann.pool_mode`. */
  readonly field: string;
  /** null: there was none, or the default held. */
  readonly from: JsonValue;
  readonly to: JsonValue;
}

/** What a tenant is by its events; nothing stands for a tenant that is not registered. */
export type TenantAsOf = Pick<TenantView, 'config' | 'origin'> | undefined;

type Fields = ReadonlyMap<string, JsonValue>;

const CHANGED = 'changed';
const SECRET_PLACE = /_source$/;

export function diffTenants(before: TenantAsOf, after: TenantAsOf): readonly FieldChange[] {
  const marks = new SecretMarks();
  return changesBetween(fieldsOf(before, marks), fieldsOf(after, marks));
}

export function diffDefaults(before: PoolSettings, after: PoolSettings): readonly FieldChange[] {
  return changesBetween(
    new Map(leaves(toPoolAnswer(before), '')),
    new Map(leaves(toPoolAnswer(after), '')),
  );
}

function fieldsOf(tenant: TenantAsOf, marks: SecretMarks): Fields {
  if (tenant === undefined) return new Map();
  const { config, origin } = tenant;
  const fields = toTenantFields(config, (secret) => marks.describe(secret));
  const canary = config.canary && config.canary.proxies.join(', ');
  const state = operationsOf(config).state;
  return new Map(leaves({ ...fields, origin, state, ...(canary && { canary }) }, ''));
}

/** Of two sets of fields, those that differ. */
export function changesBetween(before: Fields, after: Fields): readonly FieldChange[] {
  const changes: FieldChange[] = [];
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const from = before.get(name) ?? null;
    const to = after.get(name) ?? null;
    if (!isDeepStrictEqual(from, to)) changes.push(changeOf(name, from, to));
  }
  return changes;
}

function changeOf(name: string, from: JsonValue, to: JsonValue): FieldChange {
  if (!SECRET_PLACE.test(name)) return { field: name, from, to };
  const field = name.replace(SECRET_PLACE, '');
  const [was, is] = [withoutMark(from), withoutMark(to)];
  return { field, from: was, to: was === is ? CHANGED : is };
}

const MARK = '\0';

/** Tells sealed secrets apart without saying anything of them: each has a number of its own. */
class SecretMarks {
  readonly #known = new Map<string, number>();

  describe(secret: Secret): string {
    const place = describeSecret(secret);
    if (secret.kind !== 'sealed') return place;
    const identity = `${secret.keyId} ${secret.nonce} ${secret.ciphertext}`;
    const number = this.#known.get(identity) ?? this.#known.size;
    this.#known.set(identity, number);
    return `${place}${MARK}${number}`;
  }
}

function withoutMark(value: JsonValue): JsonValue {
  return typeof value === 'string' ? (value.split(MARK, 1)[0] ?? '') : value;
}

/** Lists whose entries are known by their `name`; the others are compared as a whole. */
const NAMED_LISTS: ReadonlySet<string> = new Set(['users']);

interface Named {
  readonly name: string;
}

function* leaves(value: unknown, path: string): Iterable<[string, JsonValue]> {
  if (Array.isArray(value) && NAMED_LISTS.has(path)) {
    for (const { name, ...rest } of value as Named[]) yield* leaves(rest, `${path}.${name}`);
  } else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    for (const [name, member] of Object.entries(value)) {
      yield* leaves(member, path === '' ? name : `${path}.${name}`);
    }
  } else {
    yield [path, value as JsonValue];
  }
}

const POOL_FIELDS: ReadonlySet<string> = new Set(
  Object.values(POOL_SETTINGS).map(({ name }) => name),
);
/** Their changes say it all. */
const SILENT_TYPES: ReadonlySet<string> = new Set(['TenantUpdated', 'TenantCredentialsChanged']);
const PHRASES_MAX = 5;
const VALUE_CHARS_MAX = 60;

/**
 * One line for people: `max_connections 10 -> 20, password changed`.
 * @param to the position that the event went back to.
 */
export function summarize(
  type: string,
  changes: readonly FieldChange[],
  after: TenantAsOf,
  to?: Position,
): string {
  const words = to === undefined ? wordsOf(type) : `${wordsOf(type)} to ${to}`;
  if (after !== undefined && changes.some(({ field, from }) => field === 'id' && from === null)) {
    const { host, port, database, username } = after.config;
    return `${words}: ${host}:${port}/${database} as ${username}`;
  }
  const told = after === undefined ? [] : changes.filter(({ field }) => field !== 'state');
  const phrases = told.slice(0, PHRASES_MAX).map(phraseOf);
  if (told.length > PHRASES_MAX) phrases.push(`and ${told.length - PHRASES_MAX} more`);
  if (SILENT_TYPES.has(type)) return phrases.join(', ') || 'nothing that shows';
  return [words, phrases.join(', ')].filter(Boolean).join(': ');
}

function phraseOf({ field, from, to }: FieldChange): string {
  if (to === CHANGED) return `${field} ${CHANGED}`;
  return `${field} ${show(field, from)} -> ${show(field, to)}`;
}

function show(field: string, value: JsonValue): string {
  if (value === null) return POOL_FIELDS.has(field) ? 'default' : 'none';
  const text = (typeof value === 'string' ? value : JSON.stringify(value)).replaceAll(/\s+/g, ' ');
  return text.length > VALUE_CHARS_MAX ? `${text.slice(0, VALUE_CHARS_MAX)}…` : text;
}

/** `TenantClientsKilled` reads "clients killed". */
function wordsOf(type: string): string {
  return type
    .replace(/^Tenant(?=[A-Z])/, '')
    .replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter}`)
    .toLowerCase();
}
