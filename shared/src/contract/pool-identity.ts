/**
 * Which pool a tenant's connections belong to: a hash of everything that decides where they go,
 * who they are and how they begin. A changed host, user, password, init_sql or server_tls makes
 * another pool, and so does a reconnect; changed sizes and timeouts do not.
 */
import { createHash } from 'node:crypto';
import type { TenantConfig } from './routing-config.ts';
import type { Secret } from './secret.ts';
import type { ServerTlsConfig } from './server-tls.ts';
import { operationsOf } from './tenant-operations.ts';
import { tenantKey } from '../kernel/ids.ts';
import { unreachable } from '../kernel/assert.ts';

declare const brand: unique symbol;
export type PoolKey = string & { readonly [brand]: 'PoolKey' };

/** Connections of the proxy's own never serve a client. */
export type PoolPurpose = 'clients' | 'auth_query';

/** Who the connections of a pool are, and what for. */
export interface PoolUser {
  readonly purpose: PoolPurpose;
  readonly serverUser: string;
  /** Equal for equal credentials; no credential can be told from it. */
  readonly fingerprint: string;
}

/**
 * The identity of the pool of `tenant` for `database` as `user`, equal over swaps as long as the
 * connections are interchangeable.
 */
export function poolKey(tenant: TenantConfig, database: string, user: PoolUser): PoolKey {
  const identity = [
    tenantKey(tenant.id),
    tenant.protocol,
    tenant.host,
    tenant.port,
    database,
    user.purpose,
    user.serverUser,
    user.fingerprint,
    tenant.initSql ?? null,
    tlsParts(tenant.serverTls),
    operationsOf(tenant).connectionsGeneration,
  ];
  return createHash('sha256').update(JSON.stringify(identity)).digest('base64url') as PoolKey;
}

/** Files that are referred to count by their name: new connections take what they hold. */
function tlsParts(tls: ServerTlsConfig | undefined): readonly unknown[] | null {
  if (tls === undefined) return null;
  const { mode, ca = null, cert = null, key, serverName = null } = tls;
  return [mode, ca, cert, key === undefined ? null : secretParts(key), serverName];
}

/** The database that follows on `database` when a tenant is changed; undefined when none does. */
export function databaseAfter(
  before: TenantConfig | undefined,
  after: TenantConfig,
  database: string,
): string | undefined {
  if (database === before?.database || database === after.database) return after.database;
  return after.databases.includes(database) ? database : undefined;
}

/**
 * A stand-in for the fingerprint of a credential that cannot be opened: of its sealed form, so one
 * that is sealed anew counts as changed.
 */
export function sealedFingerprint(secret: Secret): string {
  return `sealed:${JSON.stringify(secretParts(secret))}`;
}

/** Field by field, so that the order of keys in somebody's JSON makes no difference. */
function secretParts(secret: Secret): readonly string[] {
  switch (secret.kind) {
    case 'sealed':
      return [secret.kind, secret.keyId, secret.nonce, secret.ciphertext];
    case 'env':
      return [secret.kind, secret.name];
    case 'file':
      return [secret.kind, secret.path];
    default:
      return unreachable(secret);
  }
}
