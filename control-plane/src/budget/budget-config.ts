/**
 * What the allocator knows of the config: how many server connections a tenant may have, how many
 * of them follow the formula, and which declared server it shares with others.
 */
import { serverOf } from '@dbbouncer/shared/contract/database-servers.ts';
import { poolBounds } from '@dbbouncer/shared/contract/routing-config.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position, TenantId } from '@dbbouncer/shared/kernel/ids.ts';

export interface TenantBudget {
  readonly id: TenantId;
  readonly maxConnections: number;
  /** What a proxy's share divides: `maxConnections`, or 0 on a declared server. */
  readonly base: number;
  /** The last change of the config that it depends on. */
  readonly changedAt: Position;
  readonly server: { readonly name: string; readonly maxConnections: number } | undefined;
}

/** The tenants of one config; `position` says which. */
export interface BudgetConfig {
  readonly position: Position;
  get(key: string): TenantBudget | undefined;
  /** Goes through all tenants; nothing for one that is on no declared server. */
  onServers(): Iterable<string | undefined>;
}

/** @param changedAt the last change that a tenant depends on, its own or one of all tenants */
export function budgetConfigOf(
  config: RoutingConfig,
  changedAt: (key: string) => Position,
): BudgetConfig {
  return {
    position: config.position,
    get(key) {
      const tenant = config.tenants.look(tenantKey(key));
      if (tenant === undefined) return undefined;
      const { maxConnections } = poolBounds(config, tenant);
      const server = serverOf(config, tenant);
      return {
        id: tenant.id,
        maxConnections,
        base: server === undefined ? maxConnections : 0,
        changedAt: changedAt(key),
        server,
      };
    },
    *onServers() {
      if (config.servers.size === 0) return;
      for (const key of config.tenants.keys()) {
        const tenant = config.tenants.look(key);
        yield tenant !== undefined && serverOf(config, tenant) !== undefined ? key : undefined;
      }
    },
  };
}
