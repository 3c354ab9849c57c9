/**
 * Which pool a tenant's connections belong to: a hash of everything that decides where they go,
 * who they are and how they begin. A changed host, user, password or init_sql makes another pool;
 * changed sizes and timeouts do not.
 */
import { createHash } from 'node:crypto';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';

declare const brand: unique symbol;
export type PoolKey = string & { readonly [brand]: 'PoolKey' };

/**
 * Keys by config object, then by database: a config object never changes, a changed tenant is a new
 * one.
 */
const keysByTenant = new WeakMap<TenantConfig, Map<string, PoolKey>>();

/**
 * The identity of the pool of `tenant` for `database`, equal over swaps and restarts as long as the
 * connections are interchangeable. A password that was sealed anew counts as changed: its clear
 * text is not looked at here. `database` must be one the tenant lists, else the cache has no bound.
 */
export function poolKey(tenant: TenantConfig, database: string): PoolKey {
  let keys = keysByTenant.get(tenant);
  if (keys === undefined) {
    keys = new Map();
    keysByTenant.set(tenant, keys);
  }
  let key = keys.get(database);
  if (key === undefined) {
    key = hashIdentity(tenant, database);
    keys.set(database, key);
  }
  return key;
}

function hashIdentity(tenant: TenantConfig, database: string): PoolKey {
  const identity = [
    tenantKey(tenant.id),
    tenant.protocol,
    tenant.host,
    tenant.port,
    database,
    tenant.username,
    ...secretParts(tenant.password),
    tenant.initSql ?? null,
  ];
  return createHash('sha256').update(JSON.stringify(identity)).digest('base64url') as PoolKey;
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
