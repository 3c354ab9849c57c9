/**
 * The tenants of a fleet drill: each has a role of its own, so that the database can be asked how
 * many connections a tenant has.
 */
export interface DrillTenant {
  readonly id: string;
  readonly maxConnections: number;
  /** Of ten clients. */
  readonly share: number;
}

/** The last one has fewer connections than there are proxies. */
export const TENANTS: readonly DrillTenant[] = Object.freeze([
  { id: 'north', maxConnections: 12, share: 5 },
  { id: 'south', maxConnections: 6, share: 3 },
  { id: 'small', maxConnections: 2, share: 2 },
]);

/** The last of the three proxies has two workers, each of which is a proxy of the fleet. */
export const PROXIES = 3;
export const WORKERS = 2;
export const FLEET_SIZE = PROXIES - 1 + WORKERS;

/** Whether the limits of a tenant hold over the fleet or on each proxy. */
export const FLEET_BUDGET: 'per_proxy' | 'fleet' = 'fleet';

/** The most connections that the tenant may have at the database. */
export function capOf({ maxConnections }: DrillTenant): number {
  return FLEET_BUDGET === 'fleet' ? maxConnections : FLEET_SIZE * maxConnections;
}

export const PASSWORD = 'fleet drill secret';

export const roleOf = (id: string): string => `app_${id}`;

export function tenantOf(client: number): DrillTenant {
  let place = client % 10;
  for (const tenant of TENANTS) {
    place -= tenant.share;
    if (place < 0) return tenant;
  }
  throw new Error('the shares are ten');
}
