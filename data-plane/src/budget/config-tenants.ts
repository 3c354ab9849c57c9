/**
 * The tenants of a routing snapshot as the budget sees them, and which of them differ between two.
 */
import { addressKey, serverOf } from '@dbbouncer/shared/contract/database-servers.ts';
import { poolBounds } from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantChanges } from '../routing/snapshot.ts';
import type { RoutingSnapshot } from '../routing/snapshot.ts';
import type { BudgetTenant, BudgetTenants } from './allowance.ts';

/** Of those that were asked for so many are remembered: in each message it is the same ones. */
const REMEMBERED_MAX = 10_000;

export function tenantsOf({ config }: RoutingSnapshot): BudgetTenants {
  const remembered = new Map<string, BudgetTenant | undefined>();
  const read = (key: string): BudgetTenant | undefined => {
    const tenant = config.tenants.look(key);
    if (tenant === undefined) return undefined;
    return {
      id: tenant.id,
      maxConnections: poolBounds(config, tenant).maxConnections,
      formula: serverOf(config, tenant) === undefined ? 'applies' : 'declared_server',
      server: addressKey(tenant),
    };
  };
  return {
    get(key) {
      const known = remembered.get(key);
      if (known !== undefined || remembered.has(key)) return known;
      const tenant = read(key);
      if (remembered.size < REMEMBERED_MAX) remembered.set(key, tenant);
      return tenant;
    },
  };
}

/** Keys of the tenants whose part of the budget may be another one. */
export function* changedKeys(previous: RoutingSnapshot, next: RoutingSnapshot): Iterable<string> {
  const isOfAll =
    previous.config.defaults !== next.config.defaults ||
    previous.config.servers !== next.config.servers;
  if (!isOfAll || previous.config.tenants.size === 0) {
    for (const { key } of tenantChanges(previous, next, 'known')) yield key;
    return;
  }
  yield* previous.config.tenants.keys();
}
