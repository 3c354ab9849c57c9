/**
 * Between a tenant as people write it (tenant-resource.ts) and as the planes hold it
 * (routing-config.ts). Pure: how a secret is made of a written password is passed in.
 */
import type { TenantId } from '../kernel/ids.ts';
import { formatDuration, parseDurationMs } from './duration.ts';
import type { PoolOverrides, PoolSettings, Protocol, TenantConfig } from './routing-config.ts';
import type { Secret } from './secret.ts';
import type {
  PoolAnswer,
  PoolDefaults,
  TenantFields,
  TenantInFile,
  TenantPatch,
  TenantReplace,
} from './tenant-resource.ts';

export const DEFAULT_PORTS: Readonly<Record<Protocol, number>> = Object.freeze({
  postgres: 5432,
  mysql: 3306,
});

/** Makes the secret of a written password; the current one is given when the tenant has one. */
export type MakeSecret = (written: string, current: Secret | undefined) => Secret;

/** @throws what `makeSecret` throws. */
export function newTenantConfig(
  id: TenantId,
  input: TenantInFile,
  makeSecret: MakeSecret,
): TenantConfig {
  return Object.freeze({ ...fieldsOf(input), id, password: makeSecret(input.password, undefined) });
}

/** All of a tenant but a password that was not given: that one stays as it is. */
export type TenantReplacement = Omit<TenantConfig, 'password'> & {
  readonly password?: Secret | undefined;
};

/**
 * What PUT, or an edited entry of the file, makes of the tenant. @throws what `makeSecret` throws.
 */
export function replaceTenantConfig(
  current: TenantConfig,
  input: TenantReplace,
  makeSecret: MakeSecret,
): TenantReplacement {
  return Object.freeze({
    ...fieldsOf(input),
    id: current.id,
    password: nextSecret(current, input.password, makeSecret),
  });
}

/** Only what is to change; a pool setting of null goes back to the default. */
export type TenantChangeSet = {
  readonly [Name in Exclude<keyof TenantConfig, 'id' | 'pool'>]?: TenantConfig[Name] | undefined;
} & { readonly pool: PoolChangeSet };

export type PoolChangeSet = {
  readonly [Name in keyof PoolSettings]?: PoolSettings[Name] | null | undefined;
};

/** What PATCH changes; fields it does not name are not in it. @throws what `makeSecret` throws. */
export function toTenantChanges(
  current: TenantConfig,
  patch: TenantPatch,
  makeSecret: MakeSecret,
): TenantChangeSet {
  return Object.freeze({
    protocol: patch.db_type,
    host: patch.host,
    port: patch.port === null ? DEFAULT_PORTS[patch.db_type ?? current.protocol] : patch.port,
    database: patch.dbname,
    databases: patch.databases === null ? [] : patch.databases,
    username: patch.username,
    password: nextSecret(current, patch.password, makeSecret),
    pool: toPoolChanges(patch),
  });
}

/** Durations were checked by the schema. */
export function toPoolChanges(input: PoolDefaults): PoolChangeSet {
  return {
    poolMode: input.pool_mode,
    minConnections: input.min_connections,
    maxConnections: input.max_connections,
    idleTimeoutMs: toMs(input.idle_timeout),
    maxLifetimeMs: toMs(input.max_lifetime),
    acquireTimeoutMs: toMs(input.acquire_timeout),
  };
}

/** The settings that `input` gives; what is null or absent has its default. */
export function toPoolOverrides(input: PoolDefaults): PoolOverrides {
  const given = Object.entries(toPoolChanges(input)).filter(
    ([, value]) => typeof value === 'string' || typeof value === 'number',
  );
  return Object.freeze(Object.fromEntries(given));
}

/** @param describeSecret says where the password is without saying it. */
export function toTenantFields(
  config: TenantConfig,
  describeSecret: (secret: Secret) => string,
): TenantFields {
  const pool = config.pool;
  return {
    id: config.id,
    db_type: config.protocol,
    host: config.host,
    port: config.port,
    dbname: config.database,
    databases: [...config.databases],
    username: config.username,
    password_source: describeSecret(config.password),
    pool_mode: pool.poolMode ?? null,
    min_connections: pool.minConnections ?? null,
    max_connections: pool.maxConnections ?? null,
    idle_timeout: toText(pool.idleTimeoutMs),
    max_lifetime: toText(pool.maxLifetimeMs),
    acquire_timeout: toText(pool.acquireTimeoutMs),
  };
}

export function toPoolAnswer(pool: PoolSettings): PoolAnswer {
  return {
    pool_mode: pool.poolMode,
    min_connections: pool.minConnections,
    max_connections: pool.maxConnections,
    idle_timeout: formatDuration(pool.idleTimeoutMs),
    max_lifetime: formatDuration(pool.maxLifetimeMs),
    acquire_timeout: formatDuration(pool.acquireTimeoutMs),
  };
}

function fieldsOf(input: TenantReplace): Omit<TenantConfig, 'id' | 'password'> {
  return {
    protocol: input.db_type,
    host: input.host,
    port: input.port ?? DEFAULT_PORTS[input.db_type],
    database: input.dbname,
    databases: input.databases ?? [],
    username: input.username,
    pool: toPoolOverrides(input),
  };
}

function nextSecret(
  current: TenantConfig,
  written: string | undefined,
  makeSecret: MakeSecret,
): Secret | undefined {
  return written === undefined ? undefined : makeSecret(written, current.password);
}

function toMs(text: string | null | undefined): number | null | undefined {
  return typeof text === 'string' ? parseDurationMs(text) : text;
}

function toText(durationMs: number | undefined): string | null {
  return durationMs === undefined ? null : formatDuration(durationMs);
}
