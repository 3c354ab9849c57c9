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

/** How many proxies share the database. */
export const PROXIES = 3;

/** Until a fleet divides its limits, each proxy has all of them. */
const HOLDS_FOR: 'each_proxy' | 'the_fleet' = 'each_proxy';

/** The most connections that the tenant may have at the database. */
export function capOf({ maxConnections }: DrillTenant): number {
  return HOLDS_FOR === 'each_proxy' ? PROXIES * maxConnections : maxConnections;
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
