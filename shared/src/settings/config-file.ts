/**
 * The config file: what it may hold, and everything that is wrong with it at once. A file with any
 * problem is refused as a whole. Owns: reading and checking. Leaves: precedence to resolve.ts,
 * turning tenants into events to the control plane.
 */
import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { explainIssues, formatPath } from '../contract/explain.ts';
import type { FieldProblem } from '../contract/explain.ts';
import { addressKey, serverKey, SERVERS_MAX } from '../contract/database-servers.ts';
import { DEFAULT_POOL_SETTINGS } from '../contract/pool-settings.ts';
import { effectivePool, findPoolInconsistency } from '../contract/routing-config.ts';
import type { PoolSettings } from '../contract/pool-settings.ts';
import { POOL_NUMBER_FIELDS, toPoolOverrides } from '../contract/pool-settings.ts';
import { poolDefaultsSchema, tenantInFileSchema } from '../contract/tenant-resource.ts';
import type { TenantInFile } from '../contract/tenant-resource.ts';
import {
  isServerName,
  newServerConfig,
  SERVER_NAME_RULE,
  serverInFileSchema,
} from '../contract/server-resource.ts';
import type { ServerInFile } from '../contract/server-resource.ts';
import { contentDigest } from '../files/content-digest.ts';
import { isRegularFile } from '../files/regular-file.ts';
import { NOT_UTF8, readUtf8 } from '../files/utf8-text.ts';
import type { Secret } from '../contract/secret.ts';
import { findUserInconsistency } from '../contract/tenant-users.ts';
import type { UsersOfTenant } from '../contract/tenant-users.ts';
import { isTenantId, TENANT_ID_RULE, tenantKey } from '../kernel/ids.ts';
import type { TenantId } from '../kernel/ids.ts';
import type { ReadEnv } from '../secrets/keyring.ts';
import { SETTINGS } from './setting-list.ts';
import type { SettingName } from './setting-list.ts';
import type { SettingSpec } from './setting-spec.ts';
import { problemAt } from './config-problems.ts';
import type { PlacedProblem } from './config-problems.ts';
import { isNameLike } from './yaml-excerpt.ts';
import { readYaml } from './yaml-source.ts';
import type { FieldKinds } from './yaml-source.ts';

export interface ConfigFile {
  readonly path: string;
  /** Of the text it was read from (`contentDigest`), to tell whether the file is still the same. */
  readonly digest: string;
  /** Settings of the process that the file gives; read once, at start. */
  readonly settings: ReadonlyMap<SettingName, unknown>;
  /** For all tenants: the file's `defaults` over the built-in ones. */
  readonly defaults: PoolSettings;
  readonly tenants: ReadonlyMap<TenantId, TenantInFile>;
  /** By the names they are written with. */
  readonly servers: ReadonlyMap<string, ServerInFile>;
  /** `absent`: without "tenants", or with nothing behind it; `tenants: {}` is written. */
  readonly tenantSection: 'written' | 'absent';
  /** `nothing`: it is empty, or all comments. */
  readonly says: 'something' | 'nothing';
  /** The same of "servers". */
  readonly serverSection: 'written' | 'absent';
}

/** Never half a config: either it is right as a whole, or every problem is told. */
export type ConfigFileReading =
  | { readonly outcome: 'ok'; readonly config: ConfigFile }
  | { readonly outcome: 'refused'; readonly problems: readonly PlacedProblem[] };

export const CONFIG_FILE_BYTES_MAX = 16_777_216;

/** Reads and checks the file at `path`; one that cannot be read has one problem that says so. */
export function readConfigFile(path: string, readEnv: ReadEnv): ConfigFileReading {
  let bytes: Buffer;
  try {
    const { size } = statSync(path);
    if (size > CONFIG_FILE_BYTES_MAX) {
      return unreadable(`has ${size} bytes; ${CONFIG_FILE_BYTES_MAX} are allowed`);
    }
    bytes = readFileSync(path);
  } catch (error) {
    return unreadable(`cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
  }
  const reading = readUtf8(bytes);
  if (reading.outcome === 'text') return parseConfigFile(reading.text, path, readEnv);
  const { line, column } = reading;
  return refused([{ line, column, path: '', message: NOT_UTF8 }]);
}

/** @param path only to say where it is from. */
export function parseConfigFile(text: string, path: string, readEnv: ReadEnv): ConfigFileReading {
  const source = readYaml(text, FIELD_KINDS, readEnv);
  if (source.state === 'broken') return refused(source.tell(source.problems));
  const checked = fileSchema.safeParse(source.value);
  const content = checked.success ? checked.data : soundPartOf(source.value);
  // What has no value for want of a variable is not wrong a second time.
  const told = new Set(source.problems.map((problem) => problem.path));
  const named = (problem: FieldProblem) => withoutNonNames(problem, source.value);
  const issues = checked.success ? [] : checked.error.issues;
  const looked = new z.ZodError(issues.slice(0, ISSUES_LOOKED_AT_MAX));
  const misfits = explainIssues(looked, fileSchema, source.value);
  const problems = [
    ...source.problems,
    ...misfits
      .filter((issue) => !told.has(issue.path))
      .map((issue) => source.find(named(issue), UNKNOWN.test(issue.message) ? 'key' : 'value')),
    ...Array.from(contentProblems(content), (problem) => source.find(named(problem), 'key')),
  ];
  if (problems.length > 0 || !checked.success) {
    return refused(source.tell(problems, issues.length - looked.issues.length));
  }
  return { outcome: 'ok', config: toConfigFile(checked.data, path, text) };
}

/**
 * Where in the file these problems are, which its content alone does not show; on its first line
 * when it holds something else by now.
 */
export function placeInFile(
  { path, digest }: Pick<ConfigFile, 'path' | 'digest'>,
  problems: readonly FieldProblem[],
): readonly PlacedProblem[] {
  const text = readOrNothing(path);
  const isSame = text !== undefined && contentDigest(text) === digest;
  const source = readYaml(isSame ? text : '', FIELD_KINDS, () => '');
  return source.tell(problems.map((problem) => source.find(problem, 'key')));
}

function readOrNothing(path: string): string | undefined {
  try {
    if (!isRegularFile(path)) return undefined;
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** With a sign in the place of what may be a password that was taken for a name. */
function withoutNonNames(problem: FieldProblem, value: unknown): FieldProblem {
  const names = problem.keys.map((key, index) => {
    const name = String(key);
    const isShown =
      typeof key === 'number' ||
      KNOWN_FIELDS.has(name) ||
      isNameLike(name, valueAt(value, problem.keys.slice(0, index + 1).map(String)));
    return isShown ? key : '…';
  });
  return { ...problem, path: formatPath(names) };
}

/** What is wrong with each takes a while to say, and few are told. */
const ISSUES_LOOKED_AT_MAX = 1_000;

const UNKNOWN = /^is not a known/;

function refused(problems: readonly PlacedProblem[]): ConfigFileReading {
  return { outcome: 'refused', problems };
}

const tenantsSchema = z.record(z.string(), tenantInFileSchema);
const serversSchema = z.record(z.string(), serverInFileSchema);

const fileSchema = z.strictObject({
  ...topLevelSettings(),
  defaults: poolDefaultsSchema.nullish(),
  servers: serversSchema.nullish(),
  tenants: tenantsSchema.nullish(),
});
type FileContent = z.infer<typeof fileSchema>;

type AnySpec = SettingSpec<unknown>;

function settingEntries(): readonly (readonly [SettingName, AnySpec, string])[] {
  return (Object.entries(SETTINGS) as [SettingName, AnySpec][]).flatMap(([name, spec]) =>
    spec.yaml === undefined ? [] : [[name, spec, spec.yaml] as const],
  );
}

/**
 * The settings as schemas: top-level ones as such, `section.name` ones in an object for each
 * section.
 */
function topLevelSettings(): Record<string, z.ZodType> {
  const top: Record<string, z.ZodType> = {};
  const sections: Record<string, Record<string, z.ZodType>> = {};
  for (const [, spec, yaml] of settingEntries()) {
    const [section, name] = yaml.split('.');
    const schema = settingSchema(spec);
    if (name === undefined) top[yaml] = schema;
    else (sections[section ?? ''] ??= {})[name] = schema;
  }
  for (const [section, fields] of Object.entries(sections)) {
    top[section] = z.strictObject(fields).nullish();
  }
  return top;
}

/** An empty value is as good as none. */
function settingSchema(spec: AnySpec): z.ZodType {
  return z
    .unknown()
    .check((context) => {
      if (context.value === null || context.value === undefined) return;
      const reading = spec.read(context.value);
      if (reading.outcome === 'value') return;
      context.issues.push({ code: 'custom', message: reading.message, input: context.value });
    })
    .optional();
}

/** What can be looked at further although something else of the file is wrong. */
function soundPartOf(value: unknown): FileContent {
  const { defaults, servers, tenants } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const readDefaults = poolDefaultsSchema.safeParse(defaults ?? {});
  // With what the settings of its tenants must agree is not known then.
  if (!readDefaults.success) return {};
  return {
    defaults: readDefaults.data,
    servers: soundEntries(servers, serverInFileSchema),
    tenants: soundEntries(tenants, tenantInFileSchema),
  };
}

function soundEntries<Entry>(section: unknown, schema: z.ZodType<Entry>): Record<string, Entry> {
  const entries = typeof section === 'object' && section !== null ? Object.entries(section) : [];
  const sound = entries.flatMap(([name, entry]) => {
    const read = schema.safeParse(entry);
    return read.success ? [[name, read.data] as const] : [];
  });
  return Object.fromEntries(sound);
}

function defaultsIn(content: FileContent): PoolSettings {
  return Object.freeze({ ...DEFAULT_POOL_SETTINGS, ...toPoolOverrides(content.defaults ?? {}) });
}

function toConfigFile(content: FileContent, path: string, text: string): ConfigFile {
  const settings = new Map<SettingName, unknown>();
  for (const [name, spec, yaml] of settingEntries()) {
    const raw = valueAt(content, yaml.split('.'));
    const reading = raw === null || raw === undefined ? undefined : spec.read(raw);
    if (reading?.outcome === 'value') settings.set(name, reading.value);
  }
  return Object.freeze({
    path,
    digest: contentDigest(text),
    settings,
    defaults: defaultsIn(content),
    tenants: new Map(Object.entries(content.tenants ?? {}) as [TenantId, TenantInFile][]),
    servers: new Map(Object.entries(content.servers ?? {})),
    tenantSection: content.tenants ? 'written' : 'absent',
    says: text.split('\n').every((line) => NO_WORDS.test(line)) ? 'nothing' : 'something',
    serverSection: content.servers ? 'written' : 'absent',
  });
}

/** Comments, and the line that begins a document, say nothing. */
const NO_WORDS = /^\s*(?:---\s*)?(?:#.*)?$/;

/** What no field alone can show. */
function* contentProblems(content: FileContent): Iterable<FieldProblem> {
  const defaults = defaultsIn(content);
  const inconsistency = findPoolInconsistency(defaults);
  if (inconsistency !== undefined) yield problemAt(['defaults'], inconsistency);
  yield* serverProblems(content.servers ?? {});
  yield* tenantProblems(content.tenants ?? {}, defaults);
}

function* serverProblems(servers: Readonly<Record<string, ServerInFile>>): Iterable<FieldProblem> {
  const names = new Map<string, string>();
  const addresses = new Map<string, string>();
  const entries = Object.entries(servers);
  if (entries.length > SERVERS_MAX) {
    yield problemAt(['servers'], `are ${entries.length}; ${SERVERS_MAX} are allowed`);
  }
  for (const [name, entry] of entries) {
    const address = addressKey(newServerConfig(name, entry));
    const namesake = names.get(serverKey(name));
    const twin = addresses.get(address);
    names.set(serverKey(name), name);
    addresses.set(address, name);
    if (!isServerName(name)) {
      yield problemAt(['servers', name], `is not a server name: ${SERVER_NAME_RULE}`);
    } else if (namesake !== undefined) {
      yield problemAt(['servers', name], `is the same server as "${namesake}": names ignore case`);
    } else if (twin !== undefined) {
      yield problemAt(['servers', name], `has the host and port of server "${twin}"`);
    }
  }
}

function* tenantProblems(
  tenants: Readonly<Record<string, TenantInFile>>,
  defaults: PoolSettings,
): Iterable<FieldProblem> {
  const seen = new Map<string, string>();
  for (const [id, tenant] of Object.entries(tenants)) {
    const twin = seen.get(tenantKey(id));
    seen.set(tenantKey(id), id);
    if (!isTenantId(id)) {
      yield problemAt(['tenants', id], `is not a tenant id: ${TENANT_ID_RULE}`);
    } else if (twin !== undefined) {
      yield problemAt(['tenants', id], `is the same tenant as "${twin}": ids ignore case`);
    }
    const pool = toPoolOverrides(tenant);
    const inconsistency = findPoolInconsistency(effectivePool({ defaults }, { pool }));
    if (inconsistency !== undefined) yield problemAt(['tenants', id], inconsistency);
    const contradiction = findUserInconsistency(usersIn(tenant));
    if (contradiction !== undefined) yield problemAt(['tenants', id], contradiction);
  }
}

/** Passwords are looked at only for being there. */
function usersIn(tenant: TenantInFile): UsersOfTenant {
  const { db_type: protocol, username, users, auth_query: authQuery } = tenant;
  const seen = (written: unknown) => (typeof written === 'string' ? WRITTEN : undefined);
  return {
    protocol,
    username,
    users: users?.map(({ name, password }) => ({ name, password: seen(password) })),
    authQuery: authQuery
      ? { user: authQuery.user ?? undefined, password: seen(authQuery.password) }
      : undefined,
  };
}

const WRITTEN: Secret = Object.freeze({ kind: 'env', name: 'WRITTEN' });

const TEXT_FIELDS: ReadonlySet<string> = new Set(
  (
    'host dbname databases username password ca cert key server_name' +
    ' name server_user server_password user database query' +
    ' api_key data_dir proxy_id sni_suffix tls_cert tls_key tls_client_ca tls_client_cert_users' +
    ' server_tls_ca unix_socket_dir unix_socket_mode'
  ).split(' '),
);
const NUMBER_FIELDS: ReadonlySet<string> = new Set([
  'port',
  'max_client_connections',
  ...POOL_NUMBER_FIELDS,
]);

/** Their references stay as they are: the proxy resolves them. */
const REFERENCE_FIELDS: ReadonlySet<string> = new Set(['password', 'server_password', 'key']);
/** A URL of NATS can have a password in it. */
const SECRET_FIELDS: ReadonlySet<string> = new Set([...REFERENCE_FIELDS, 'api_key', 'nats']);

const KNOWN_FIELDS: ReadonlySet<string> = new Set(fieldsOf(fileSchema).map(([name]) => name));
const SECTIONS: ReadonlySet<string> = new Set(
  fieldsOf(fileSchema).flatMap(([name, kind]) => (kind === 'section' ? [name] : [])),
);

const FIELD_KINDS: FieldKinds = Object.freeze({
  isText: (field: string) => TEXT_FIELDS.has(field),
  isNumber: (field: string) => NUMBER_FIELDS.has(field),
  keepsReference: (field: string) => REFERENCE_FIELDS.has(field),
  isKnown: (field: string) => KNOWN_FIELDS.has(field),
  isSecret: (field: string) => SECRET_FIELDS.has(field),
  isPlain: (field: string) => KNOWN_FIELDS.has(field) && !SECTIONS.has(field),
});

type FieldsOf = readonly (readonly [name: string, kind: 'plain' | 'section'])[];

/** Every field that the schema knows at any depth. */
function fieldsOf(schema: unknown): FieldsOf {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) {
    return fieldsOf(schema.unwrap());
  }
  if (schema instanceof z.ZodRecord) return fieldsOf(schema.valueType);
  if (schema instanceof z.ZodArray) return fieldsOf(schema.element);
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape).flatMap(([name, field]) => {
    const within = fieldsOf(field);
    return [[name, within.length > 0 ? 'section' : 'plain'] as const, ...within];
  });
}

function unreadable(message: string): ConfigFileReading {
  return refused([{ line: 1, column: 1, path: '', message }]);
}

function valueAt(content: unknown, keys: readonly string[]): unknown {
  let value = content;
  for (const key of keys) value = (value as Readonly<Record<string, unknown>> | null)?.[key];
  return value;
}
