/**
 * A change of a tenant that some proxies try before it holds for all: its config carries both, and
 * each proxy serves the one that is for it.
 * Owns: which one that is. Leaves: who is chosen, and how it ends, to the control plane.
 */
import type { ProxyId } from '../kernel/ids.ts';
import type { TenantConfig, TenantSettings } from './routing-config.ts';

/** The tenant as `proxy` serves it; without a canary, the same object. */
export function servedBy(proxy: ProxyId | undefined, tenant: TenantConfig): TenantConfig {
  const { canary } = tenant;
  if (canary === undefined) return tenant;
  return proxy !== undefined && canary.proxies.includes(proxy)
    ? candidateOf(tenant, canary.candidate)
    : withoutCanary(tenant);
}

/** The tenant with other settings; what was operated on it stays. */
export function candidateOf(tenant: TenantConfig, settings: TenantSettings): TenantConfig {
  const { id, operations } = tenant;
  return operations === undefined ? { id, ...settings } : { id, ...settings, operations };
}

/** What was asked for last: the candidate of its canary, or the tenant itself. */
export function newestOf(tenant: TenantConfig): TenantConfig {
  const { canary } = tenant;
  return canary === undefined ? tenant : candidateOf(tenant, canary.candidate);
}

export function withoutCanary(tenant: TenantConfig): TenantConfig {
  const { canary: _, ...rest } = tenant;
  return rest;
}
