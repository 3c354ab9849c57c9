/**
 * The pools that a write touches, on each live proxy, and what would become of them.
 * Owns: which pools those are. Leaves: what becomes of one to pool-effects.ts.
 */
import { z } from 'zod';
import { servedBy } from '@dbbouncer/shared/contract/canary.ts';
import type { ConfigChange } from '@dbbouncer/shared/contract/config-delta.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { effectivePool } from '@dbbouncer/shared/contract/routing-config.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyView } from '../../fleet/fleet-state.ts';
import { poolEffect, poolEffectSchema } from './pool-effects.ts';
import type { PoolEffect } from './pool-effects.ts';

/** Pools in one answer; the number of those that are left out is told. */
const POOLS_MAX = 1_000;

const touchedPoolSchema = z.strictObject({
  proxy: z.string(),
  tenant: z.string(),
  database: z.string(),
  user: z.string(),
  effect: poolEffectSchema,
  active: z.int(),
  idle: z.int(),
  total: z.int(),
  waiting: z.int(),
});
type TouchedPool = z.infer<typeof touchedPoolSchema>;

export const touchedPoolsShape = {
  pools: z.array(touchedPoolSchema).meta({
    description: 'What live proxies hold for the tenants that would change, or would open.',
  }),
  pools_omitted: z.int().meta({ description: `Pools beyond the first ${POOLS_MAX}.` }),
};

type ReportedPool = ProxyView['report']['pools'][number];

export interface TouchedTenants {
  /** As they are. */
  readonly before: (id: string) => TenantConfig | undefined;
  /** As the write would leave them. */
  readonly defaults: PoolSettings;
}

export function touchedPools(
  live: readonly ProxyView[],
  changes: readonly ConfigChange[],
  tenants: TouchedTenants,
) {
  const after = new Map<string, TenantConfig | undefined>();
  let touchesAll = false;
  for (const change of changes) {
    if (change.kind === 'tenant_set') after.set(tenantKey(change.tenant.id), change.tenant);
    else if (change.kind === 'tenant_removed') after.set(tenantKey(change.id), undefined);
    else if (change.kind === 'defaults_set') touchesAll = true;
  }
  const effectOn = (proxy: ProxyId, pool: ReportedPool): PoolEffect | undefined => {
    const key = tenantKey(pool.tenant);
    const as = (tenant: TenantConfig | undefined) => tenant && servedBy(proxy, tenant);
    if (after.has(key)) return poolEffect(pool, as(tenants.before(key)), as(after.get(key)));
    // Other defaults change sizes and times, and no connection.
    return touchesAll ? 'kept' : undefined;
  };
  const pools = live.flatMap((proxy) => [
    ...held(proxy, effectOn),
    ...[...after.values()].flatMap((tenant) =>
      opened(proxy, tenant && servedBy(proxy.id, tenant), tenants),
    ),
  ]);
  return { pools: pools.slice(0, POOLS_MAX), pools_omitted: Math.max(0, pools.length - POOLS_MAX) };
}

function held(
  { id: proxy, report }: ProxyView,
  effectOn: (proxy: ProxyId, pool: ReportedPool) => PoolEffect | undefined,
): readonly TouchedPool[] {
  return report.pools.flatMap((pool) => {
    const effect = effectOn(proxy, pool);
    if (effect === undefined) return [];
    const { tenant, database, user, active, idle, total, waiting } = pool;
    return [{ proxy, tenant, database, user, effect, active, idle, total, waiting }];
  });
}

/** The pool that is warmed for a tenant which has none there. */
function opened(
  { id: proxy, report }: ProxyView,
  tenant: TenantConfig | undefined,
  { defaults }: TouchedTenants,
): readonly TouchedPool[] {
  if (tenant === undefined || operationsOf(tenant).state !== 'active') return [];
  const { prewarm, minConnections } = effectivePool({ defaults }, tenant);
  if (prewarm !== 'on' || minConnections === 0) return [];
  const key = tenantKey(tenant.id);
  const hasPools = report.pools.some((pool) => tenantKey(pool.tenant) === key);
  if (hasPools) return [];
  const { id, database, username: user } = tenant;
  const none = { active: 0, idle: 0, total: 0, waiting: 0 };
  return [{ proxy, tenant: id, database, user, effect: 'opened', ...none }];
}
