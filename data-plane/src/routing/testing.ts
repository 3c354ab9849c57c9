/** For tests only: tenants and configs with every field filled in. */
import { EMPTY_CONFIG } from '@dbbouncer/shared/contract/routing-config.ts';
import type { RoutingConfig, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { PackedMap } from '@dbbouncer/shared/kernel/packed-map.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';

/** A PostgreSQL tenant whose database is `<id>_db` and whose user is `app`. */
export function someTenant(id: string, changes: Partial<TenantConfig> = {}): TenantConfig {
  return {
    id: id as TenantId,
    protocol: 'postgres',
    host: 'db.internal',
    port: 5432,
    database: `${id}_db`,
    databases: [],
    username: 'app',
    password: { kind: 'env', name: 'PASSWORD' },
    pool: {},
    ...changes,
  };
}

/** A config that holds `tenants`, at position 1 of epoch 1 unless said otherwise. */
export function someConfig(
  tenants: readonly TenantConfig[],
  changes: Partial<RoutingConfig> = {},
): RoutingConfig {
  return {
    ...EMPTY_CONFIG,
    epoch: 1,
    position: 1,
    tenants: PackedMap.from(tenants.map((tenant) => [tenantKey(tenant.id), tenant] as const)),
    ...changes,
  };
}
