/**
 * The rules by which a tenant goes back to what it was: a part of decide.ts. Pure.
 * The past may be one that today's rules or the fleet's settings of today no longer allow.
 */
import { isDeepStrictEqual } from 'node:util';
import { withoutCanary } from '@dbbouncer/shared/contract/canary.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { controlErrors } from '../../errors.ts';
import type { RestoreTenant, RollBackTenant } from './commands.ts';
import { requireConsistentTenant } from './consistency.ts';
import type { TenantEvent } from './events.ts';
import type { TenantState } from './state.ts';

/** @throws TENANT_NOT_FOUND, TENANT_ABSENT_THEN, VALIDATION_FAILED */
export function rollBack(
  { id, to, past, defaults }: RollBackTenant,
  state: TenantState,
  defaultsOfNow: PoolSettings,
): readonly TenantEvent[] {
  if (past.last === undefined) throw unheardOf(id);
  if (past.was === undefined) {
    throw controlErrors.fail(
      'TENANT_ABSENT_THEN',
      `Tenant "${id}" was not registered at position ${to}.`,
      { hint: 'Name a later one; GET /events?tenant= lists them. To remove it, delete it.' },
    );
  }
  const isThere = state.status === 'registered';
  const present = isThere ? state.tenant : past.last.tenant;
  const tenant = withTrafficOf(present, isThere ? { ...past.was, id: present.id } : past.was);
  if (isThere && isDeepStrictEqual(tenant, state.tenant)) return [];
  requireConsistentTenant(tenant, defaults ?? defaultsOfNow);
  if (!isThere) return [restored(tenant, to)];
  // A protocol cannot change in place: it is another tenant under the same name.
  return tenant.protocol === state.tenant.protocol
    ? [{ type: 'TenantRolledBack', data: { tenant, to } }]
    : [{ type: 'TenantRemoved', data: {} }, restored(tenant, to)];
}

/** @throws TENANT_NOT_FOUND, TENANT_EXISTS, VALIDATION_FAILED */
export function restore(
  { id, past }: RestoreTenant,
  state: TenantState,
  defaults: PoolSettings,
): readonly TenantEvent[] {
  if (state.status === 'registered') {
    throw controlErrors.fail('TENANT_EXISTS', `Tenant "${state.tenant.id}" was not removed.`, {
      hint: 'To give it settings of before, roll it back.',
    });
  }
  if (past.last === undefined) throw unheardOf(id);
  const { position } = past.last;
  const tenant = withoutCanary(past.last.tenant);
  requireConsistentTenant(tenant, defaults);
  return [restored(tenant, position)];
}

/** Who brings a tenant back manages it: the config file would remove again what is not in it. */
function restored(tenant: TenantConfig, to: Position): TenantEvent {
  return { type: 'TenantRestored', data: { tenant, to, origin: 'api' } };
}

/** `tenant` with what is operated on `present`: a rollback lets nobody in or out. */
function withTrafficOf(present: TenantConfig, tenant: TenantConfig): TenantConfig {
  const { operations: _, canary: __, ...settings } = tenant;
  const { operations } = present;
  return operations === undefined ? settings : { ...settings, operations };
}

function unheardOf(id: string): Error {
  return controlErrors.fail('TENANT_NOT_FOUND', `Tenant "${id}" does not exist, and never did.`);
}
