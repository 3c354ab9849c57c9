/**
 * Between a tenant as people write it (tenant-resource.ts) and as the planes hold it (routing-config.ts). Pure: how a
 * secret is made of a written password is passed in.
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
  return build(id, input, makeSecret(input.password, undefined));
}

/** The tenant after PUT, or after its entry in the file was edited. @throws what `makeSecret` throws. */
export function replaceTenantConfig(
  current: TenantConfig,
  input: TenantReplace,
  makeSecret: MakeSecret,
): TenantConfig {
  return build(current.id, input, nextSecret(current, input.password, makeSecret));
}

/** The tenant after PATCH. A new db_type without a port keeps the port. @throws what `makeSecret` throws. */
export function patchTenantConfig(
  current: TenantConfig,
  patch: TenantPatch,
  makeSecret: MakeSecret,
): TenantConfig {
  const protocol = patch.db_type ?? current.protocol;
  return Object.freeze({
    id: current.id,
    protocol,
    host: patch.host ?? current.host,
    port: patch.port === undefined ? current.port : (patch.port ?? DEFAULT_PORTS[protocol]),
    database: patch.dbname ?? current.database,
    databases: patch.databases === undefined ? current.databases : (patch.databases ?? []),
    username: patch.username ?? current.username,
    password: nextSecret(current, patch.password, makeSecret),
    pool: toPoolOverrides(patch, current.pool as PoolOverrides),
  });
}

/**
 * The pool settings of `input` over those of `base`: what is null is not set any more, what is absent stays.
 * Durations were checked by the schema.
 */
export function toPoolOverrides(input: PoolDefaults, base: PoolOverrides = {}): PoolOverrides {
  const next: Record<string, unknown> = { ...base };
  const put = (name: keyof PoolSettings, value: unknown): void => {
    if (value === null) delete next[name];
    else if (value !== undefined) next[name] = value;
  };
  put('poolMode', input.pool_mode);
  put('minConnections', input.min_connections);
  put('maxConnections', input.max_connections);
  put('idleTimeoutMs', toMs(input.idle_timeout));
  put('maxLifetimeMs', toMs(input.max_lifetime));
  put('acquireTimeoutMs', toMs(input.acquire_timeout));
  return Object.freeze(next as PoolOverrides);
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

function build(id: TenantId, input: TenantReplace, password: Secret): TenantConfig {
  return Object.freeze({
    id,
    protocol: input.db_type,
    host: input.host,
    port: input.port ?? DEFAULT_PORTS[input.db_type],
    database: input.dbname,
    databases: input.databases ?? [],
    username: input.username,
    password,
    pool: toPoolOverrides(input),
  });
}

function nextSecret(
  current: TenantConfig,
  written: string | undefined,
  makeSecret: MakeSecret,
): Secret {
  return written === undefined ? current.password : makeSecret(written, current.password);
}

function toMs(text: string | null | undefined): number | null | undefined {
  return typeof text === 'string' ? parseDurationMs(text) : text;
}

function toText(durationMs: number | undefined): string | null {
  return durationMs === undefined ? null : formatDuration(durationMs);
}
