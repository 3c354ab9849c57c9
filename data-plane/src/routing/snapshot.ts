/**
 * One routing config, indexed for logins. A snapshot never changes; a swap makes a new one that
 * shares all it can.
 * Owns: look-ups by tenant, effective pool settings, what differs between two snapshots. Leaves:
 * choosing to resolve-tenant.ts. Building one costs nothing per tenant: the index is the config's
 * own map, settings are merged when first asked for.
 */
import { findServerInconsistency } from '@dbbouncer/shared/contract/database-servers.ts';
import {
  effectivePool,
  findInconsistency,
  findTenantInconsistency,
} from '@dbbouncer/shared/contract/routing-config.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type {
  Protocol,
  RoutingConfig,
  TenantConfig,
} from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';

/**
 * Merged settings by defaults, then by tenant: both are immutable, so a pair is merged once in its
 * life.
 */
const settingsByDefaults = new WeakMap<PoolSettings, WeakMap<TenantConfig, PoolSettings>>();

export class RoutingSnapshot {
  /** As this proxy serves it: of a tenant with a canary, what is for this proxy. */
  readonly config: RoutingConfig;
  /** As the control plane told it: what the next delta follows on. */
  readonly told: RoutingConfig;
  readonly #settings: WeakMap<TenantConfig, PoolSettings>;

  constructor(config: RoutingConfig, told: RoutingConfig = config) {
    this.config = config;
    this.told = told;
    this.#settings = settingsByDefaults.get(config.defaults) ?? new WeakMap();
    settingsByDefaults.set(config.defaults, this.#settings);
  }

  get epoch(): number {
    return this.config.epoch;
  }

  get position(): Position {
    return this.config.position;
  }

  /** The tenant of this id, without regard to case, when it is served over `protocol`. */
  tenant(id: string, protocol: Protocol): TenantConfig | undefined {
    const tenant = this.byKey(tenantKey(id));
    return tenant?.protocol === protocol ? tenant : undefined;
  }

  byKey(key: string): TenantConfig | undefined {
    return this.config.tenants.get(key);
  }

  /**
   * The settings that hold for `tenant`; the same frozen object as long as tenant and defaults are
   * the same.
   */
  poolSettings(tenant: TenantConfig): PoolSettings {
    let settings = this.#settings.get(tenant);
    if (settings === undefined) {
      settings = Object.freeze(effectivePool(this.config, tenant));
      this.#settings.set(tenant, settings);
    }
    return settings;
  }
}

/**
 * What happened to one tenant between two snapshots: added without `before`, removed without
 * `after`.
 */
export interface TenantChange {
  readonly key: string;
  readonly before: TenantConfig | undefined;
  readonly after: TenantConfig | undefined;
}

/**
 * The tenants whose own config differs; the cost follows the number of changes, not of tenants.
 * Changed defaults are not in it: `poolSettings` of a tenant that is not listed may differ when
 * `previous.config.defaults !== next.config.defaults`.
 * @param which `known`: only those that were there before
 */
export function* tenantChanges(
  previous: RoutingSnapshot,
  next: RoutingSnapshot,
  which: 'all' | 'known' = 'all',
): Iterable<TenantChange> {
  const { tenants: was } = previous.config;
  const { tenants: is } = next.config;
  if (which === 'known' && was.size === 0) return;
  for (const key of is.changedKeys(was)) {
    if (which === 'known' && !was.has(key)) continue;
    // Of a tenant that was in use the next object is the one that will be.
    const after = was.isKept(key) ? is.get(key) : is.look(key);
    yield { key, before: was.look(key), after };
  }
}

/**
 * Why `next` must not follow `previous`, which is consistent itself; reads no more than what
 * changed.
 */
export function findChangeInconsistency(
  previous: RoutingConfig,
  next: RoutingConfig,
): string | undefined {
  if (consistent.has(next)) return undefined;
  const reason = lookForInconsistency(previous, next);
  if (reason === undefined) consistent.add(next);
  return reason;
}

/** Configs that were found consistent: who judges one and who serves it both ask. */
const consistent = new WeakSet<RoutingConfig>();

/** Says that `config` was found consistent, or holds what one does that was. */
export function markConsistent(config: RoutingConfig): void {
  consistent.add(config);
}

export function isKnownConsistent(config: RoutingConfig): boolean {
  return consistent.has(config);
}

function lookForInconsistency(previous: RoutingConfig, next: RoutingConfig): string | undefined {
  // Other defaults concern every tenant: rare enough to look at all of them.
  if (next.defaults !== previous.defaults) return findInconsistency(next);
  if (next.servers !== previous.servers) {
    const problem = findServerInconsistency(next.servers);
    if (problem !== undefined) return problem;
  }
  for (const key of next.tenants.changedKeys(previous.tenants)) {
    const tenant = next.tenants.look(key);
    if (tenant === undefined) continue;
    if (key !== tenantKey(tenant.id)) return `tenant "${tenant.id}" is indexed as "${key}"`;
    const problem = findTenantInconsistency(next, tenant);
    if (problem !== undefined) return `tenant "${tenant.id}": ${problem}`;
  }
  return undefined;
}
