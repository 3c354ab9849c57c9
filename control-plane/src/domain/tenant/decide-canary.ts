/**
 * The rules by which a change is tried by some proxies first: a part of decide.ts. Pure.
 * While a canary runs, the tenant's settings are what it is measured against, so nobody else
 * changes them; what is operated on the tenant goes on.
 */
import { candidateOf, withoutCanary } from '@dbbouncer/shared/contract/canary.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Canary, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { controlErrors } from '../../errors.ts';
import type { PromoteCanary, RollBackCanary, StartCanary } from './commands.ts';
import { requireConsistentTenant } from './consistency.ts';
import type { TenantEvent } from './events.ts';
import { evolveConfig } from './state.ts';

/** @param changed what the change is made of, on the tenant as it is; nothing: no canary either. */
export function startCanary(
  { canary, before }: StartCanary,
  tenant: TenantConfig,
  changed: readonly TenantEvent[],
): readonly TenantEvent[] {
  if (changed.length === 0) return [];
  const next = changed.reduce<TenantConfig | undefined>(evolveConfig, tenant);
  if (next === undefined) return changed;
  const { id: _, operations: __, canary: ___, ...candidate } = next;
  return [
    { type: 'CanaryStarted', data: { canary: { ...canary, candidate }, before: [...before] } },
  ];
}

/** @throws CANARY_NOT_RUNNING; VALIDATION_FAILED when the defaults of now contradict it */
export function promote(
  command: PromoteCanary,
  tenant: TenantConfig,
  defaults: PoolSettings,
): readonly TenantEvent[] {
  const { candidate } = requireCanary(command, tenant);
  requireConsistentTenant(candidateOf(tenant, candidate), defaults);
  return [{ type: 'CanaryPromoted', data: {} }];
}

/** @throws CANARY_NOT_RUNNING */
export function rollBackCanary(
  command: RollBackCanary,
  tenant: TenantConfig,
): readonly TenantEvent[] {
  requireCanary(command, tenant);
  return [{ type: 'CanaryRolledBack', data: { cause: command.cause } }];
}

/**
 * What has to happen to a canary before other settings can: nothing where none runs.
 * @throws CANARY_RUNNING unless it is to be ended
 */
export function settleCanary(
  tenant: TenantConfig,
  whileCanary: 'refuse' | 'end',
): { readonly events: readonly TenantEvent[]; readonly tenant: TenantConfig } {
  if (tenant.canary === undefined) return { events: [], tenant };
  if (whileCanary === 'end') {
    const events = [{ type: 'CanaryRolledBack', data: { cause: 'overruled' } }] as const;
    return { events, tenant: withoutCanary(tenant) };
  }
  const { proxies } = tenant.canary;
  throw controlErrors.fail(
    'CANARY_RUNNING',
    `A change of tenant "${tenant.id}" is being tried by ${proxies.length} proxies.`,
    {
      hint:
        'Wait until it is over, POST /tenants/{id}/canary/promote or /abort, or repeat this with' +
        ' ?force=true, which rolls it back first.',
    },
  );
}

function requireCanary(
  { startedAt }: { readonly startedAt?: string | undefined },
  tenant: TenantConfig,
): Canary {
  const { canary } = tenant;
  const isMeant = startedAt === undefined || canary?.startedAt === startedAt;
  if (canary !== undefined && isMeant) return canary;
  throw controlErrors.fail('CANARY_NOT_RUNNING', `Tenant "${tenant.id}" has no canary running.`, {
    hint: 'GET /tenants/{id}/history says how the last one ended.',
  });
}
