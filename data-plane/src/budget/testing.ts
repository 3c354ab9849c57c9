/** What tests of the budget are made of. */
import type { BudgetGrant } from '@dbbouncer/shared/contract/budget.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { BudgetTenant, BudgetTenants } from './allowance.ts';
import { NOTHING_KEPT } from './kept-budget.ts';
import { Obedience } from './obedience.ts';
import type { ObedienceOptions } from './obedience.ts';
import type { TenantUse } from './needs-list.ts';

export const PROXY = 'p-1' as ProxyId;

export const tenant = (id: string): TenantId => id as TenantId;

/** Tenants by id with their `max_connections`, or more of them. */
export function tenantsOf(
  all: Readonly<Record<string, number | Partial<BudgetTenant>>>,
): BudgetTenants {
  const tenants = new Map<string, BudgetTenant>();
  for (const [id, about] of Object.entries(all)) {
    const given = typeof about === 'number' ? { maxConnections: about } : about;
    const usual = { maxConnections: 10, formula: 'applies', server: 'db:5432' } as const;
    tenants.set(tenantKey(id), { id: tenant(id), ...usual, ...given });
  }
  return tenants;
}

export function obedience(options: Partial<ObedienceOptions> = {}): Obedience {
  return new Obedience({
    proxy: PROXY,
    life: 1,
    kept: { ...NOTHING_KEPT, share: { divisor: 2 } },
    tenants: tenantsOf({ acme: 10 }),
    left: 'nothing',
    silentMs: 0,
    nowMs: 0,
    ...options,
  });
}

let grants = 0;

/** Of term 1 with a number above all before; the lease is counted from 0. */
export function grantOf(parts: Partial<BudgetGrant> = {}): BudgetGrant {
  grants += 1;
  return {
    proxy: PROXY,
    life: 1,
    term: 1,
    number: grants,
    stampMs: 0,
    leaseMs: 5_000,
    tenants: [],
    released: [],
    ...parts,
  };
}

export function use(id: string, held: number, wanted = held): TenantUse {
  return { key: tenantKey(id), tenant: tenant(id), held, wanted };
}
