/**
 * The tables of docs/configuration.md: every setting and every field of a tenant, with the values
 * that their own readers and schemas allow.
 * What no reader can tell is here in words: what a field is for, and what has no effect yet.
 */
import { z } from 'zod';
import { DURATION_MS_MAX } from '@dbbouncer/shared/contract/duration.ts';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import { toPoolAnswer } from '@dbbouncer/shared/contract/pool-settings.ts';
import { tenantCreateSchema } from '@dbbouncer/shared/contract/tenant-resource.ts';
import type { TenantInFile } from '@dbbouncer/shared/contract/tenant-resource.ts';
import { TENANT_ID_RULE } from '@dbbouncer/shared/kernel/ids.ts';
import { SETTINGS, settingsFlags } from '@dbbouncer/shared/settings/setting-list.ts';
import type { SettingDescription } from '@dbbouncer/shared/settings/setting-list.ts';
import type { SettingName } from '@dbbouncer/shared/settings/setting-list.ts';
import { code, markdownTable } from './document-parts.ts';

/** Read and checked, and heeded by nothing in this version; references.test.ts looks for users. */
export const WITHOUT_EFFECT: ReadonlySet<SettingName> = new Set([
  'mysqlPort',
  'healthCheckIntervalMs',
  'healthCheckTimeoutMs',
  'healthCheckFailureThreshold',
  'healthCheckSuccessThreshold',
]);

/** Heeded in part. */
const RESTRICTIONS: Readonly<Partial<Record<SettingName, string>>> = Object.freeze({});

export function settingsTable(): string {
  const rows = settingsFlags.map((setting) => [
    code(setting.yaml),
    [code(setting.flag), code(setting.env)].filter((name) => name !== '').join(' '),
    code(setting.default),
    allowedValues(setting),
    meaning(setting),
  ]);
  return markdownTable(
    ['In the file', 'Flag, variable', 'Default', 'Allowed', 'What it does'],
    rows,
  );
}

function meaning({ name, description }: SettingDescription): string {
  const text = description.replace(/\.?$/, '.');
  if (name === 'config') return text;
  if (WITHOUT_EFFECT.has(name)) return `${text} *No effect in this version.*`;
  const restriction = RESTRICTIONS[name];
  return restriction === undefined ? text : `${text} *${restriction}*`;
}

/** Values that some readers refuse; the refusal that names a range says most. */
const PROBES: readonly unknown[] = ['0ms', `${DURATION_MS_MAX}ms`, '1001d', [], ''];

/** What the setting's reader answers to values that it refuses, without what was given. */
function allowedValues({ name }: SettingDescription): string {
  if (name === 'config') return 'a path';
  if (name === 'dataDir' || name.endsWith('File')) return 'a path';
  const spec = SETTINGS[name];
  const rules = PROBES.map((probe) => spec.read(probe))
    .flatMap((reading) => (reading.outcome === 'refused' ? [reading.message] : []))
    .map((message) => message.replace(/^must be /, '').replace(/; got .*$/, ''));
  const range = rules.find((rule) => rule.startsWith('between '));
  return range ?? rules.at(-1) ?? '';
}

/** `adopt` is no field of a tenant, but says what the file is to do with one. */
type TenantField = 'id' | Exclude<keyof TenantInFile, 'adopt'>;

/** The compiler asks for a sentence about each field. */
const TENANT_FIELDS: Readonly<Record<TenantField, string>> = Object.freeze({
  id: 'Its name; unique without regard to case. In the file it is the key.',
  db_type: 'The protocol. It cannot be changed later. *`mysql` is kept and not served yet.*',
  host: 'The database server; `/folder` for the socket file in it.',
  port: 'Its port.',
  dbname: "The tenant's own database.",
  databases: 'More databases of that server which its clients may open; all share its limits.',
  username: 'The user, for clients and for the server alike.',
  password: 'Its password, or where that is: see [Passwords](#passwords). Never returned.',
  pool_mode:
    '`session`: a client keeps its server connection until it leaves. `transaction`: until its' +
    ' transaction ends.',
  min_connections:
    "Kept open once a client has come, for the tenant's own database and its own user.",
  max_connections: 'Server connections at most, over all its databases and all proxies.',
  budget_when_cut_off:
    'For a proxy whose even part of `max_connections` is 0 and which cannot reach the control' +
    ' plane. `strict`: its clients read an error (53300) that names the budget. `floor_one`: it' +
    ' opens one connection all the same; the fleet may then pass `max_connections`, which is' +
    ' logged and counted.',
  max_client_connections:
    'Clients that may be logged in on one proxy at once; one more reads an error (53300). `0`: no' +
    ' limit but the `listen.max_client_connections` of the proxy.',
  reserve_connections:
    'The part of `max_connections` that is opened only for clients which have waited' +
    ' `reserve_timeout`; closed again once unused for as long.',
  reserve_timeout: 'How long a client waits before the reserve is opened for it.',
  prewarm:
    '`on`: `min_connections` are opened as soon as a proxy knows the tenant, before any client.',
  max_queries:
    'A connection that has answered so many queries is closed when it is next idle; `0`: never.',
  idle_timeout: 'A connection above the minimum that was not used so long is closed; `0s`: never.',
  max_lifetime: 'An older connection is closed when it is next idle; `0s`: never.',
  acquire_timeout: 'How long a client waits in line before it reads an error (53300).',
  client_idle_timeout:
    'A client that does nothing for so long between transactions is disconnected (57P05); `0s`:' +
    ' never.',
  idle_in_transaction_timeout:
    'A client that does nothing for so long within a transaction is disconnected (25P03), and the' +
    ' transaction rolled back; `0s`: never.',
  transaction_timeout:
    'A client whose transaction lasts so long is disconnected (25P04), and the transaction rolled' +
    ' back; `0s`: never.',
  pipeline:
    '`reads`: in transaction mode, reads that are known to be harmless run on a few connections,' +
    " many clients' at a time; `off`: each on a connection of its own.",
  shared_connections:
    'Connections for these reads, a part of `max_connections`, at most every other one: below' +
    ' `max_connections` 3 there are none. They are opened when clients need connections at once.',
  pipeline_depth_max: 'Shared reads that are under way on one connection, at most.',
  pipeline_budget_us:
    'For how long these may be expected to keep it busy, in microseconds; a read that takes' +
    ' longer alone is not shared.',
  pipeline_stall_ms:
    'A read that takes longer, in milliseconds, holds up its neighbours no more: they are run' +
    ' elsewhere.',
  pipeline_resend_ratio: 'How many of all shared reads may be run a second time for that.',
  query_timeout:
    'A statement that runs for so long is cancelled (57014), and its client goes on; the' +
    ' connection closes if the server has not ended it after `cancel_wait_timeout`. `0s`: never.',
  slow_client_timeout:
    'A client that reads nothing of its results for so long is disconnected (08006); `0s`: never.',
  pause_wait_timeout:
    'How long a client waits while its tenant is paused before it reads an error (57P03).',
  server_tls: 'TLS with its database server: see [Databases](#databases).',
  listen:
    'In transaction mode: `shared`: one server connection listens for all clients of a database.' +
    ' `pin`: a client that listens keeps its own.',
  on_listener_loss:
    'When that connection is lost: `disconnect`: its clients are ended (57P01). `notice`: they' +
    ' read a warning once it is there again.',
  access: 'From where its clients may come: see [Access rules](#access-rules).',
  query_wait_notify:
    'A client that has waited so long in line reads a NOTICE that says why; `0s`: never.',
  server_login_retry:
    'The longest pause between two attempts at a server that cannot be reached or refuses the' +
    ' login; pauses begin at 100 ms and double.',
  server_check_delay:
    'A connection unused for so long is asked whether its server is still there; `0s`: never.',
  server_connect_timeout: 'How long the database server may take to accept a connection.',
  server_login_timeout: 'How long a login there may take once connected, `init_sql` included.',
  cancel_wait_timeout:
    'How long the server may take to end a cancelled statement, to clean a connection for its' +
    ' next client, and to answer what the proxy itself asks, before the connection is closed.',
  lazy_begin:
    'In transaction mode: `on`: a `BEGIN` holds no server connection, and goes to the server in' +
    ' front of the first statement of its transaction: see [Transactions](#transactions).',
  server_reset:
    '`auto`: a server connection is reset before its next client when it may not be clean.' +
    ' `always`: after every lease.',
  leak_detector:
    'Looks at server connections that clients have left, and counts as' +
    ' `dbbouncer_state_leaks_total` what should not be there: at `all`, at a `sample` of one in a' +
    ' hundred, or `off`. See [metrics](metrics.md#what-clients-leave).',
  application_name:
    '`pooled`: server connections are called `dbb:<proxy>:<life>`. `exact`:' +
    ' like the client that they serve.',
  max_prepared_statements:
    'Prepared statements on one server connection; beyond it the least recently used is closed.',
  max_distinct_prepared_statements:
    'Different prepared statements of all clients of a tenant that share a database and a user on' +
    ' one proxy; one more reads 53400. Their texts may have 64 MiB.',
  max_client_prepared_statements: 'Prepared statements of one client; one more reads 53400.',
  client_auth:
    'How its clients prove their password: see [Ways to log in](#ways-to-log-in). In `users` for' +
    ' one user alone.',
  server_cleartext:
    'Where a server that asks for the password in clear is given it, besides socket files.' +
    ' `over_verified_tls`: where its certificate was verified, `server_tls` with `verify-ca` or' +
    ' `verify-full`; `over_tls`: over any TLS, so that somebody in between can be given it.',
  users: 'More users: see [Users](#users).',
  auth_query: 'How other users are looked up in its database: see [Users](#users).',
  init_sql: 'Run on each server connection after its login, and again after each reset.',
});

interface JsonSchema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly JsonSchema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly description?: string;
}

export function tenantFieldsTable(): string {
  const schema = z.toJSONSchema(tenantCreateSchema, { io: 'input', unrepresentable: 'any' });
  const { properties = {}, required = [] } = schema as {
    properties?: Readonly<Record<string, JsonSchema>>;
    required?: readonly string[];
  };
  const defaults: Readonly<Record<string, unknown>> = toPoolAnswer(DEFAULT_POOL_SETTINGS);
  const rows = Object.entries(TENANT_FIELDS).map(([name, text]) => [
    code(name),
    required.includes(name) ? 'required' : defaultOf(name, defaults),
    allowedOf(name, properties[name] ?? {}),
    text,
  ]);
  return markdownTable(['Field', 'Default', 'Allowed', 'What it is'], rows);
}

const ENTRIES: Readonly<Record<string, string>> = Object.freeze({
  access: 'rules',
  databases: 'names',
  users: 'users',
});

function defaultOf(name: string, defaults: Readonly<Record<string, unknown>>): string {
  if (name === 'port') return '5432, 3306';
  if (name === 'server_tls') return code('mode: prefer');
  if (!(name in defaults)) return 'none';
  return code(String(defaults[name]));
}

function allowedOf(name: string, schema: JsonSchema): string {
  if (name === 'id') return TENANT_ID_RULE;
  const only = schema.anyOf?.find(({ type }) => type !== 'null') ?? schema;
  if (only.enum !== undefined) return only.enum.map(code).join(', ');
  if (only.type === 'integer' || only.type === 'number')
    return `${only.minimum} to ${only.maximum}`;
  if (only.type === 'object') return 'see there';
  if (only.type === 'array') return `up to ${only.maxItems} ${ENTRIES[name] ?? 'entries'}`;
  const range = /.*between (.+) and (.+?)\.$/.exec(only.description ?? '');
  if (range !== null) return `${range[1]} to ${range[2]}`;
  return `${only.minLength ?? 1} to ${only.maxLength} characters`;
}
