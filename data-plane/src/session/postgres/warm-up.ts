/**
 * Which pools are opened before a client asks for them: those of tenants with `prewarm: on`, and
 * those that take the place of a pool in use when its tenant is changed.
 * Owns: these two conclusions from a swap. Leaves: the pools to targets.ts, how many dials run at
 * once to pool/dial-gate.ts.
 */
import { effectivePool } from '@dbbouncer/shared/contract/routing-config.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { memberNamed } from '@dbbouncer/shared/kernel/packed-map.ts';
import type { RoutingSnapshot } from '../../routing/snapshot.ts';
import type { Account } from './auth/account.ts';

const PREWARM = memberNamed('prewarm');

/** Tenants whose minimum is to be opened after this swap, although nobody may have come. */
export function* tenantsToPrewarm(
  previous: RoutingSnapshot,
  next: RoutingSnapshot,
): Iterable<TenantConfig> {
  const { defaults, tenants } = next.config;
  for (const key of changedKeys(previous, next)) {
    if (defaults.prewarm === 'off' && tenants.mentions(key, PREWARM) === 'no') continue;
    const looked = tenants.look(key);
    if (looked === undefined || looked.protocol !== 'postgres') continue;
    const { prewarm, minConnections } = effectivePool(next.config, looked);
    const tenant = prewarm === 'on' && minConnections > 0 ? next.byKey(key) : undefined;
    if (tenant !== undefined) yield tenant;
  }
}

/** Other defaults can concern every tenant. */
function changedKeys({ config: was }: RoutingSnapshot, { config: is }: RoutingSnapshot) {
  return was.defaults === is.defaults ? is.tenants.changedKeys(was.tenants) : is.tenants.keys();
}

const restingAtZero = new WeakMap<PoolSettings, PoolSettings>();

/**
 * The settings of one pool: the minimum is for clients of the tenant's own database as its own
 * user, or a tenant with a hundred of them would rest at a hundred times as many connections as it
 * asked for.
 */
export function settingsFor(
  { tenant, serverUser, purpose }: Account,
  database: string,
  settings: PoolSettings,
): PoolSettings {
  const isOwn = database === tenant.database && serverUser === tenant.username;
  if (isOwn && purpose === 'clients') return settings;
  let without = restingAtZero.get(settings);
  if (without === undefined) {
    without = Object.freeze({ ...settings, minConnections: 0 });
    restingAtZero.set(settings, without);
  }
  return without;
}
