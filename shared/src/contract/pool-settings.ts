/**
 * Every setting of a pool, once: its name outside, its values inside and outside, its default. Each
 * tenant may set any of them, the fleet's defaults fill in the rest. The schemas of REST, YAML,
 * events and deltas, and the conversions between them, are made from this table.
 * To add one: a row here, its line in docs/configuration.md, and what obeys it. What was stored
 * before has the default of the new row.
 */
import { z } from 'zod';
import { DURATION_MS_MAX, formatDuration, parseDurationMs } from './duration.ts';
import { durationSchema } from './duration-schema.ts';

interface PoolSettingSpec<
  Name extends string,
  Stored extends z.ZodType,
  Written extends z.ZodType,
  Answer extends z.ZodType,
> {
  readonly kind: 'choice' | 'count' | 'ratio' | 'duration';
  /** In REST and YAML; a duration's name inside ends in `Ms`. */
  readonly name: Name;
  readonly stored: Stored;
  readonly default: z.infer<Stored>;
  /** What people write, and how that becomes the stored value once it is accepted. */
  readonly written: Written;
  readonly toStored: (written: z.infer<Written>) => z.infer<Stored>;
  readonly answer: Answer;
  readonly toAnswer: (stored: z.infer<Stored>) => z.infer<Answer>;
}

const NO_STATEMENT_MODE =
  'cannot be "statement": it would break every transaction of a client; choose "transaction",' +
  ' which shares server connections as well, or "session"';

export const poolModeSchema = z.enum(['session', 'transaction'], {
  error: ({ input }) => (input === 'statement' ? NO_STATEMENT_MODE : undefined),
});
export type PoolMode = z.infer<typeof poolModeSchema>;

/** Whether server connections are reset only when they may not be clean, or after each lease. */
export const serverResetSchema = z.enum(['auto', 'always']);
/** Whose name a server connection shows: the proxy's, or that of the client it serves. */
export const applicationNameSchema = z.enum(['pooled', 'exact']);
/** How many connections are looked at, for what clients have left on them: a check on the proxy. */
export const leakDetectorSchema = z.enum(['off', 'sample', 'all']);
export type LeakDetectorMode = z.infer<typeof leakDetectorSchema>;

const NO_TRUST = 'cannot be "trust": nobody is let in without a proof';

/**
 * How clients prove who they are. `md5`: SCRAM all the same where only a SCRAM verifier is known.
 * `cleartext`: the password itself over TLS, SCRAM without.
 */
export const clientAuthSchema = z.enum(
  ['scram-sha-256', 'md5', 'cleartext', 'cleartext_without_tls'],
  { error: ({ input }) => (input === 'trust' ? NO_TRUST : undefined) },
);
export type ClientAuth = z.infer<typeof clientAuthSchema>;

/** From the surest on. */
export const SERVER_CLEARTEXT = Object.freeze([
  'over_verified_tls',
  'over_tls',
  'anywhere',
] as const);
const serverCleartextSchema = z.enum(SERVER_CLEARTEXT);

/** Where a LISTEN in transaction mode is heard. */
export const listenSchema = z.enum(['shared', 'pin']);
export type ListenMode = z.infer<typeof listenSchema>;

/** What a proxy without a part of the tenant's budget does while no control plane is there. */
export const budgetWhenCutOffSchema = z.enum(['strict', 'floor_one']);
export type BudgetWhenCutOff = z.infer<typeof budgetWhenCutOffSchema>;

export const onListenerLossSchema = z.enum(['disconnect', 'notice']);
export type OnListenerLoss = z.infer<typeof onListenerLossSchema>;

export const POOL_SETTINGS = Object.freeze({
  poolMode: choice('pool_mode', poolModeSchema, 'session'),
  minConnections: count('min_connections', { min: 0, max: 10_000, default: 2 }),
  /** Server connections this tenant may occupy; dialling and closing ones count. */
  maxConnections: count('max_connections', { min: 1, max: 10_000, default: 20 }),
  /** `floor_one`: a proxy without control plane may open one, beyond its part of the budget. */
  budgetWhenCutOff: choice('budget_when_cut_off', budgetWhenCutOffSchema, 'strict'),
  /** Clients of this tenant that are logged in on one proxy; 0: as many as the proxy takes. */
  maxClientConnections: count('max_client_connections', { min: 0, max: 1_000_000, default: 0 }),
  /** A part of `maxConnections`, opened only for clients that have waited `reserveTimeoutMs`. */
  reserveConnections: count('reserve_connections', { min: 0, max: 9_999, default: 0 }),
  reserveTimeoutMs: duration(
    'reserve_timeout',
    { minMs: 0, maxMs: 3_600_000, defaultMs: 5_000 },
    'How long a client waits before the reserve is opened for it;',
  ),
  /** `on`: the minimum is opened when the config comes, not when the first client does. */
  prewarm: choice('prewarm', z.enum(['off', 'on']), 'off'),
  /** Queries after which a connection is closed when it is next idle; 0: never. */
  maxQueries: count('max_queries', { min: 0, max: 1_000_000_000, default: 0 }),
  idleTimeoutMs: duration(
    'idle_timeout',
    { minMs: 0, maxMs: DURATION_MS_MAX, defaultMs: 300_000 },
    'Unused this long, a connection above the minimum is closed; 0s: never;',
  ),
  maxLifetimeMs: duration(
    'max_lifetime',
    { minMs: 0, maxMs: DURATION_MS_MAX, defaultMs: 1_800_000 },
    'Older than this, a connection is closed when it is next idle; 0s: never;',
  ),
  acquireTimeoutMs: duration(
    'acquire_timeout',
    { minMs: 1, maxMs: 3_600_000, defaultMs: 10_000 },
    'How long a client waits for a connection;',
  ),
  queryWaitNotifyMs: duration(
    'query_wait_notify',
    { minMs: 0, maxMs: 3_600_000, defaultMs: 5_000 },
    'How long a client waits before it reads a notice that says why; 0s: never;',
  ),
  serverLoginRetryMs: duration(
    'server_login_retry',
    { minMs: 100, maxMs: 3_600_000, defaultMs: 5_000 },
    'The longest pause before a server that refuses is tried again;',
  ),
  serverCheckDelayMs: duration(
    'server_check_delay',
    { minMs: 0, maxMs: DURATION_MS_MAX, defaultMs: 30_000 },
    'Unused this long, a connection is asked whether its server is there; 0s: never;',
  ),
  /** `shared`: on one connection for all clients of a pool. `pin`: on one for each client. */
  listen: choice('listen', listenSchema, 'shared'),
  onListenerLoss: choice('on_listener_loss', onListenerLossSchema, 'disconnect'),
  serverConnectTimeoutMs: duration(
    'server_connect_timeout',
    { minMs: 10, maxMs: 600_000, defaultMs: 5_000 },
    'How long the database server may take to accept a connection;',
  ),
  serverLoginTimeoutMs: duration(
    'server_login_timeout',
    { minMs: 10, maxMs: 600_000, defaultMs: 15_000 },
    'How long a login may take once connected, init_sql included;',
  ),
  cancelWaitTimeoutMs: duration(
    'cancel_wait_timeout',
    { minMs: 10, maxMs: 600_000, defaultMs: 10_000 },
    'How long a cancelled statement may take to end, and a connection to be cleaned;',
  ),
  clientIdleTimeoutMs: limit(
    'client_idle_timeout',
    'A client idle between transactions for so long is disconnected; 0s: never;',
  ),
  idleInTransactionTimeoutMs: limit(
    'idle_in_transaction_timeout',
    'A client idle within a transaction for so long is disconnected; 0s: never;',
  ),
  transactionTimeoutMs: limit(
    'transaction_timeout',
    'A client whose transaction lasts so long is disconnected; 0s: never;',
  ),
  queryTimeoutMs: limit(
    'query_timeout',
    'A statement that runs for so long is cancelled; 0s: never;',
  ),
  slowClientTimeoutMs: limit(
    'slow_client_timeout',
    'A client that reads nothing of its results for so long is disconnected; 0s: never;',
  ),
  pauseWaitTimeoutMs: duration(
    'pause_wait_timeout',
    { minMs: 1, maxMs: 86_400_000, defaultMs: 300_000 },
    'How long a client waits while its tenant is paused;',
  ),
  /** `on`: a BEGIN in transaction mode is sent with the first statement of its transaction. */
  lazyBegin: choice('lazy_begin', z.enum(['on', 'off']), 'on'),
  serverReset: choice('server_reset', serverResetSchema, 'auto'),
  leakDetector: choice('leak_detector', leakDetectorSchema, 'off'),
  applicationName: choice('application_name', applicationNameSchema, 'pooled'),
  maxPreparedStatements: count('max_prepared_statements', { min: 1, max: 10_000, default: 200 }),
  maxDistinctPreparedStatements: count('max_distinct_prepared_statements', {
    min: 1,
    max: 1_000_000,
    default: 20_000,
  }),
  maxClientPreparedStatements: count('max_client_prepared_statements', {
    min: 1,
    max: 100_000,
    default: 5_000,
  }),
  /** `reads`: harmless reads of many clients run one behind another on a few connections. */
  pipeline: choice('pipeline', z.enum(['off', 'reads']), 'reads'),
  /** A part of `maxConnections` for these reads; at most every other one. */
  sharedConnections: count('shared_connections', { min: 0, max: 100, default: 2 }),
  /** Reads that are under way on one of these connections, at most. */
  pipelineDepthMax: count('pipeline_depth_max', { min: 1, max: 10_000, default: 64 }),
  /** For how long, by experience, they keep the server busy altogether, in microseconds. */
  pipelineBudgetUs: count('pipeline_budget_us', { min: 1, max: 10_000_000, default: 5_000 }),
  /** How long one may hold up those behind it before they are sent elsewhere, in milliseconds. */
  pipelineStallMs: count('pipeline_stall_ms', { min: 1, max: 600_000, default: 50 }),
  /** How many of all may be sent twice because of that. */
  pipelineResendRatio: ratio('pipeline_resend_ratio', 0.1),
  clientAuth: choice('client_auth', clientAuthSchema, 'scram-sha-256'),
  /** Where a server that asks for the password itself is given it. */
  serverCleartext: choice('server_cleartext', serverCleartextSchema, 'over_verified_tls'),
});

type Table = typeof POOL_SETTINGS;
type Key = keyof Table;

export const POOL_SETTING_KEYS = Object.freeze(Object.keys(POOL_SETTINGS)) as readonly Key[];

/** As the planes hold them. */
export type PoolSettings = { readonly [K in Key]: z.infer<Table[K]['stored']> };
export type PoolOverrides = Readonly<Partial<PoolSettings>>;

/** Settings by key, each made from its row. */
function fromRows<Value>(
  make: (row: Table[Key]) => Value,
  keyOf: (key: Key) => string = (key) => key,
) {
  return Object.fromEntries(POOL_SETTING_KEYS.map((key) => [keyOf(key), make(POOL_SETTINGS[key])]));
}

const nameOf = (key: Key): string => POOL_SETTINGS[key].name;

export const DEFAULT_POOL_SETTINGS = Object.freeze(fromRows((row) => row.default)) as PoolSettings;

/** All of them; where something stored lacks one, it was written before that setting was made. */
export const poolSettingsSchema = z.strictObject(
  fromRows((row) => (row.stored as z.ZodType).default(row.default)) as {
    [K in Key]: z.ZodDefault<Table[K]['stored']>;
  },
);

/** Any of them. */
export const poolOverridesSchema = z.strictObject(
  fromRows((row) => row.stored.optional()) as { [K in Key]: z.ZodOptional<Table[K]['stored']> },
);

/** Any of them; `null` says: back to the default. */
export const poolChangesSchema = z.strictObject(
  fromRows((row) => row.stored.nullable().optional()) as {
    [K in Key]: z.ZodOptional<z.ZodNullable<Table[K]['stored']>>;
  },
);

/** As people write them: none is needed, `null` is the default. */
export const writtenPoolFields = fromRows((row) => row.written.nullish(), nameOf) as {
  [K in Key as Table[K]['name']]: z.ZodOptional<z.ZodNullable<Table[K]['written']>>;
};
type WrittenPool = {
  readonly [K in Key as Table[K]['name']]?: z.infer<Table[K]['written']> | null;
};

/** A tenant's own settings in an answer; null where the default holds. */
export const ownPoolFields = fromRows((row) => row.answer.nullable(), nameOf) as {
  [K in Key as Table[K]['name']]: z.ZodNullable<Table[K]['answer']>;
};
export type OwnPoolAnswer = {
  readonly [K in Key as Table[K]['name']]: z.infer<Table[K]['answer']> | null;
};

/** Pool settings that hold, under their outside names. */
export const poolAnswerSchema = z.strictObject(
  fromRows((row) => row.answer, nameOf) as { [K in Key as Table[K]['name']]: Table[K]['answer'] },
);
export type PoolAnswer = { readonly [K in Key as Table[K]['name']]: z.infer<Table[K]['answer']> };

/** Settings to change; what is not in it stays. */
export type PoolChangeSet = { readonly [K in Key]?: PoolSettings[K] | null | undefined };

/** What the input changes; `null` goes back to the default. */
export function toPoolChanges(input: {
  readonly [K in keyof WrittenPool]?: unknown;
}): PoolChangeSet {
  const changes: Record<string, unknown> = {};
  for (const key of POOL_SETTING_KEYS) {
    const { name, toStored } = POOL_SETTINGS[key];
    const written = input[name] as never;
    changes[key] = isGiven(written) ? toStored(written) : written;
  }
  return changes;
}

/** The settings that the input gives; what is null or absent has its default. */
export function toPoolOverrides(input: {
  readonly [K in keyof WrittenPool]?: unknown;
}): PoolOverrides {
  const given = Object.entries(toPoolChanges(input)).filter(([, value]) => isGiven(value));
  return Object.freeze(Object.fromEntries(given));
}

export function toPoolAnswer(pool: PoolSettings): PoolAnswer {
  return toOwnPoolAnswer(pool) as PoolAnswer;
}

export function toOwnPoolAnswer(pool: PoolChangeSet): OwnPoolAnswer {
  const answer: Record<string, unknown> = {};
  for (const key of POOL_SETTING_KEYS) {
    const { name, toAnswer } = POOL_SETTINGS[key];
    const stored = pool[key] as never;
    answer[name] = isGiven(stored) ? toAnswer(stored) : null;
  }
  return answer as OwnPoolAnswer;
}

const NUMBERS: ReadonlySet<Table[Key]['kind']> = new Set(['count', 'ratio']);

/** The outside names of the settings that are numbers. */
export const POOL_NUMBER_FIELDS: readonly string[] = Object.freeze(
  POOL_SETTING_KEYS.filter((key) => NUMBERS.has(POOL_SETTINGS[key].kind)).map(nameOf),
);

function isGiven(value: unknown): boolean {
  return value !== null && value !== undefined;
}

function choice<const Name extends string, Schema extends z.ZodEnum>(
  name: Name,
  schema: Schema,
  byDefault: z.infer<Schema>,
): PoolSettingSpec<Name, Schema, Schema, Schema> {
  const same = (value: z.infer<Schema>) => value;
  return Object.freeze({
    kind: 'choice',
    name,
    stored: schema,
    default: byDefault,
    written: schema,
    toStored: same,
    answer: schema,
    toAnswer: same,
  });
}

function count<const Name extends string>(
  name: Name,
  range: { readonly min: number; readonly max: number; readonly default: number },
): PoolSettingSpec<Name, z.ZodInt, z.ZodInt, z.ZodInt> {
  const schema = z.int().min(range.min).max(range.max);
  const same = (value: number) => value;
  return Object.freeze({
    kind: 'count',
    name,
    stored: schema,
    default: range.default,
    written: schema,
    toStored: same,
    answer: z.int(),
    toAnswer: same,
  });
}

/** A share of a whole, from 0 to 1. */
function ratio<const Name extends string>(
  name: Name,
  byDefault: number,
): PoolSettingSpec<Name, z.ZodNumber, z.ZodNumber, z.ZodNumber> {
  const schema = z.number().min(0).max(1);
  const same = (value: number) => value;
  return Object.freeze({
    kind: 'ratio',
    name,
    stored: schema,
    default: byDefault,
    written: schema,
    toStored: same,
    answer: z.number(),
    toAnswer: same,
  });
}

/** A time limit that is off by default. */
function limit<const Name extends string>(name: Name, description: string) {
  return duration(name, { minMs: 0, maxMs: DURATION_MS_MAX, defaultMs: 0 }, description);
}

function duration<const Name extends string>(
  name: Name,
  range: { readonly minMs: number; readonly maxMs: number; readonly defaultMs: number },
  description: string,
): PoolSettingSpec<Name, z.ZodInt, z.ZodString, z.ZodString> {
  const { minMs, maxMs, defaultMs } = range;
  return Object.freeze({
    kind: 'duration',
    name,
    stored: z.int().min(minMs).max(maxMs),
    default: defaultMs,
    written: durationSchema(minMs, maxMs, description),
    toStored: (text: string) => parseDurationMs(text) as number,
    answer: z.string(),
    toAnswer: formatDuration,
  });
}
