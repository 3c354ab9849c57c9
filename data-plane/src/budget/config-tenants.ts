/**
 * The tenants of a routing snapshot as the budget sees them, and which of them differ between two.
 * Of a tenant with a canary that is what the control plane reckons with: what holds for all others.
 * Only where its connections go is as this proxy serves it.
 */
import { addressKey, serverOf } from '@dbbouncer/shared/contract/database-servers.ts';
import { poolBounds } from '@dbbouncer/shared/contract/routing-config.ts';
import type { RoutingSnapshot } from '../routing/snapshot.ts';
import type { BudgetTenant, BudgetTenants } from './allowance.ts';

/** Of those that were asked for so many are remembered: in each message it is the same ones. */
const REMEMBERED_MAX = 10_000;

export function tenantsOf({ config, told }: RoutingSnapshot): BudgetTenants {
  const remembered = new Map<string, BudgetTenant | undefined>();
  const read = (key: string): BudgetTenant | undefined => {
    const tenant = told.tenants.look(key);
    if (tenant === undefined) return undefined;
    return {
      id: tenant.id,
      maxConnections: poolBounds(told, tenant).maxConnections,
      formula: serverOf(told, tenant) === undefined ? 'applies' : 'declared_server',
      server: addressKey(config.tenants.look(key) ?? tenant),
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
export function* changedKeys(
  { told: was }: RoutingSnapshot,
  { told: is }: RoutingSnapshot,
): Iterable<string> {
  if (was.tenants.size === 0) return;
  if (was.defaults !== is.defaults || was.servers !== is.servers) {
    yield* was.tenants.keys();
    return;
  }
  for (const key of is.tenants.changedKeys(was.tenants)) if (was.tenants.has(key)) yield key;
}
