/**
 * What a proxy needs to know to serve: the immutable routing config at one position of the event
 * log.
 * Owns: its types, its limits and its consistency rules. Leaves: its text to config-text.ts.
 * Who made a change and why is not in it.
 */
import { z } from 'zod';
import { PackedMap } from '../kernel/packed-map.ts';
import { isProxyId, isTenantId, TENANT_ID_RULE, tenantKey } from '../kernel/ids.ts';
import type { Position, ProxyId, TenantId } from '../kernel/ids.ts';
import { CANARY_PROMOTE_AFTER_MS, CANARY_PROXIES_MAX } from './canary-limits.ts';
import { findServerInconsistency, NO_SERVERS } from './database-servers.ts';
import type { DeclaredServers } from './database-servers.ts';
import { DEFAULT_POOL_SETTINGS, poolOverridesSchema } from './pool-settings.ts';
import type { PoolOverrides, PoolSettings } from './pool-settings.ts';
import { secretSchema } from './secret.ts';
import { tenantOperationsSchema } from './tenant-operations.ts';
import { storedPartFields } from './tenant-parts.ts';

export const protocolSchema = z.enum(['postgres', 'mysql']);
export type Protocol = z.infer<typeof protocolSchema>;

const hostSchema = z.string().min(1).max(255);
const nameSchema = z.string().min(1).max(63);

/** All that can be set of a tenant. */
export const tenantSettingsSchema = z.strictObject({
  protocol: protocolSchema,
  host: hostSchema,
  port: z.int().min(1).max(65_535),
  /** The tenant's own database on the server. */
  database: nameSchema,
  /** Other databases of that server a client of this tenant may ask for. */
  databases: z.array(nameSchema).max(100),
  username: nameSchema,
  password: secretSchema,
  /** Only what this tenant sets itself. */
  pool: poolOverridesSchema,
  ...storedPartFields,
});
export type TenantSettings = Readonly<z.infer<typeof tenantSettingsSchema>>;

/** A change that some proxies try before it holds for all. */
export const canarySchema = z.strictObject({
  proxies: z
    .array(z.custom<ProxyId>((v) => typeof v === 'string' && isProxyId(v)))
    .min(1)
    .max(CANARY_PROXIES_MAX),
  /** What they serve. */
  candidate: tenantSettingsSchema,
  /** Of the proxies, as it was asked for. */
  share: z.number().gt(0).lt(1),
  startedAt: z.iso.datetime(),
  promoteAfterMs: z.int().min(CANARY_PROMOTE_AFTER_MS.min).max(CANARY_PROMOTE_AFTER_MS.max),
});
export type Canary = Readonly<z.infer<typeof canarySchema>>;

export const tenantConfigSchema = z.strictObject({
  id: z.custom<TenantId>((v) => typeof v === 'string' && isTenantId(v), TENANT_ID_RULE),
  ...tenantSettingsSchema.shape,
  /** Absent: nobody has operated on the tenant. No change of settings touches it. */
  operations: tenantOperationsSchema.optional(),
  /** Absent: all proxies serve the same. */
  canary: canarySchema.optional(),
});
export type TenantConfig = Readonly<z.infer<typeof tenantConfigSchema>>;

export interface RoutingConfig {
  /** Term of the control plane that wrote it; receivers refuse a lower one. */
  readonly epoch: number;
  /** The last event this config contains. */
  readonly position: Position;
  readonly defaults: PoolSettings;
  readonly servers: DeclaredServers;
  /** By `tenantKey(id)`. */
  readonly tenants: PackedMap<TenantConfig>;
}

export const EMPTY_CONFIG: RoutingConfig = Object.freeze({
  epoch: 0,
  position: 0,
  defaults: DEFAULT_POOL_SETTINGS,
  servers: NO_SERVERS,
  tenants: PackedMap.empty<TenantConfig>(),
});

/** How many server connections there may be, must be, and are kept back. */
export type PoolBounds = Pick<
  PoolSettings,
  'maxConnections' | 'minConnections' | 'reserveConnections'
>;

/**
 * The settings that hold for one tenant: its own over the defaults. A minimum or a reserve that is
 * only inherited gives way to what the tenant sets itself.
 */
export function effectivePool(
  config: Pick<RoutingConfig, 'defaults'>,
  tenant: Pick<TenantConfig, 'pool'>,
): PoolSettings {
  const own = tenant.pool as PoolOverrides;
  return { ...config.defaults, ...own, ...poolBounds(config, tenant) };
}

/** Those of `effectivePool`, for who looks at many tenants. */
export function poolBounds(
  { defaults }: Pick<RoutingConfig, 'defaults'>,
  { pool: own }: Pick<TenantConfig, 'pool'>,
): PoolBounds {
  const maxConnections = own.maxConnections ?? defaults.maxConnections;
  const inherited = maxConnections - (own.reserveConnections ?? 0);
  const minConnections =
    own.minConnections ?? Math.max(0, Math.min(defaults.minConnections, inherited));
  const left = maxConnections - Math.max(1, minConnections);
  const reserveConnections =
    own.reserveConnections ?? Math.max(0, Math.min(defaults.reserveConnections, left));
  return { maxConnections, minConnections, reserveConnections };
}

/**
 * Why this config must not be served, or nothing. Cheap enough for each snapshot, too slow for each
 * delta.
 */
export function findInconsistency(config: RoutingConfig): string | undefined {
  const problem = findServerInconsistency(config.servers);
  if (problem !== undefined) return problem;
  for (const [key, tenant] of config.tenants) {
    if (key !== tenantKey(tenant.id)) return `tenant "${tenant.id}" is indexed as "${key}"`;
    const problem = findTenantInconsistency(config, tenant);
    if (problem !== undefined) return `tenant "${tenant.id}": ${problem}`;
  }
  return undefined;
}

/** Of what any proxy would serve of it. */
export function findTenantInconsistency(
  config: Pick<RoutingConfig, 'defaults'>,
  { pool, canary }: Pick<TenantConfig, 'pool' | 'canary'>,
): string | undefined {
  const problem = findPoolInconsistency(poolBounds(config, { pool }));
  if (problem !== undefined || canary === undefined) return problem;
  return findPoolInconsistency(poolBounds(config, canary.candidate));
}

export function findPoolInconsistency(pool: PoolBounds): string | undefined {
  const { minConnections, maxConnections, reserveConnections } = pool;
  const most = `max_connections (${maxConnections})`;
  if (minConnections > maxConnections)
    return `min_connections (${minConnections}) is above ${most}`;
  if (reserveConnections >= maxConnections) {
    return `reserve_connections (${reserveConnections}) is a part of ${most} and must be below it`;
  }
  return minConnections + reserveConnections > maxConnections
    ? `min_connections (${minConnections}) and reserve_connections (${reserveConnections})` +
        ` together are above ${most}`
    : undefined;
}
