/** A config for tests: tenants that differ in what a test is about, and in nothing else. */
import { PackedMap } from '../kernel/packed-map.ts';
import { tenantKey } from '../kernel/ids.ts';
import type { TenantId } from '../kernel/ids.ts';
import { EMPTY_CONFIG } from './routing-config.ts';
import type { RoutingConfig, TenantConfig } from './routing-config.ts';

export function tenant(id: string, pool: TenantConfig['pool'] = {}): TenantConfig {
  return {
    id: id as TenantId,
    protocol: 'postgres',
    host: 'db.internal',
    port: 5432,
    database: 'app',
    databases: ['reports'],
    username: 'app',
    password: { kind: 'sealed', keyId: 'k1', nonce: 'bm9uY2U=', ciphertext: 'c2VjcmV0' },
    pool,
  };
}

export function configOf(...tenants: readonly TenantConfig[]): RoutingConfig {
  return {
    ...EMPTY_CONFIG,
    epoch: 3,
    position: 42,
    tenants: PackedMap.from(tenants.map((one) => [tenantKey(one.id), one] as const)),
  };
}
