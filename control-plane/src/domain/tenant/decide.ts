/**
 * The rules of tenants: a command on a state yields the fewest events that do it, or is refused.
 * Pure. Leaves: whether ids and fields are well formed to the schemas, versions to commands/.
 */
import { isDeepStrictEqual } from 'node:util';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Protocol, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { operated, operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { TenantOperation } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { controlErrors } from '../../errors.ts';
import type { PoolChangeSet } from '@dbbouncer/shared/contract/pool-settings.ts';
import { POOL_SETTING_KEYS } from '@dbbouncer/shared/contract/pool-settings.ts';
import { TENANT_PART_KEYS } from '@dbbouncer/shared/contract/tenant-parts.ts';
import type { RegisterTenant, ReplaceTenant, TenantCommand, TenantPatch } from './commands.ts';
import { tenantIdOf } from './commands.ts';
import {
  requireConsistentPool,
  requireConsistentTenant,
  requireConsistentTls,
  requireConsistentUsers,
} from './consistency.ts';
import { promote, rollBackCanary, settleCanary, startCanary } from './decide-canary.ts';
import { restore, rollBack } from './decide-return.ts';
import type { PoolChanges, TenantChanges, TenantEvent } from './events.ts';
import { evolveConfig, withoutUndefined, withPoolChanges } from './state.ts';
import type { TenantPool, TenantState } from './state.ts';

/**
 * What `command` makes happen; nothing when it changes nothing.
 * @param defaults the fleet's settings of now: limits must agree on what will really hold.
 * @param whileCanary `end`: a canary that runs is rolled back before other settings come.
 * @throws TENANT_NOT_FOUND, TENANT_EXISTS, TENANT_PROTOCOL_FIXED, TENANT_BEING_DRAINED,
 * TENANT_ABSENT_THEN, CANARY_RUNNING, CANARY_NOT_RUNNING, VALIDATION_FAILED
 */
export function decideTenant(
  command: TenantCommand,
  state: TenantState,
  defaults: PoolSettings,
  whileCanary: 'refuse' | 'end' = 'refuse',
): readonly TenantEvent[] {
  if (state.status === 'absent' || LEAVES_CANARY.has(command.kind)) {
    return decide(command, state, defaults);
  }
  const { events, tenant } = settleCanary(state.tenant, whileCanary);
  return [...events, ...decide(command, { ...state, tenant }, defaults)];
}

/** What is done to traffic, or to the canary itself. */
const LEAVES_CANARY: ReadonlySet<TenantCommand['kind']> = new Set([
  'register_tenant',
  'operate_tenant',
  'adopt_tenant',
  'promote_canary',
  'roll_back_canary',
]);

function decide(
  command: TenantCommand,
  state: TenantState,
  defaults: PoolSettings,
): readonly TenantEvent[] {
  if (command.kind === 'register_tenant') return register(command, state, defaults);
  if (command.kind === 'roll_back_tenant') return rollBack(command, state, defaults);
  if (command.kind === 'restore_tenant') return restore(command, state, defaults);
  if (state.status === 'absent') {
    throw controlErrors.fail('TENANT_NOT_FOUND', `Tenant "${tenantIdOf(command)}" does not exist.`);
  }
  switch (command.kind) {
    case 'replace_tenant':
      return change(state.tenant, patchTo(command.tenant), defaults);
    case 'update_tenant':
      return change(state.tenant, command.changes, defaults);
    case 'operate_tenant':
      return operate(state.tenant, command.operation);
    case 'adopt_tenant':
      return state.origin === 'file' ? [] : [{ type: 'TenantAdopted', data: {} }];
    case 'remove_tenant':
      return [{ type: 'TenantRemoved', data: {} }];
    case 'start_canary': {
      const { tenant } = state;
      return startCanary(command, tenant, decide(command.change, state, defaults));
    }
    case 'promote_canary':
      return promote(command, state.tenant, defaults);
    case 'roll_back_canary':
      return rollBackCanary(command, state.tenant);
    default:
      return unreachable(command);
  }
}

function register(
  { tenant, origin }: RegisterTenant,
  state: TenantState,
  defaults: PoolSettings,
): readonly TenantEvent[] {
  if (state.status === 'registered') {
    throw controlErrors.fail('TENANT_EXISTS', `Tenant "${state.tenant.id}" exists already.`, {
      hint: 'Ids ignore case. Change the tenant instead, or remove it first.',
    });
  }
  const pool = withoutUndefined(tenant.pool);
  requireConsistentTenant({ ...tenant, pool }, defaults);
  return [{ type: 'TenantRegistered', data: { tenant: { ...tenant, pool }, origin } }];
}

/**
 * The patch that leaves nothing of the present tenant but its id, and its password if none is
 * given.
 */
function patchTo(target: ReplaceTenant['tenant']): TenantPatch {
  const { id: _, pool, ...fields } = target;
  return {
    ...NO_PART,
    ...withoutUndefined(fields),
    pool: { ...EVERY_POOL_SETTING_DEFAULT, ...withoutUndefined(pool) },
  };
}

const EVERY_POOL_SETTING_DEFAULT = everyNull(POOL_SETTING_KEYS);
const NO_PART = everyNull(TENANT_PART_KEYS);

function everyNull<Key extends string>(keys: readonly Key[]): { readonly [K in Key]: null } {
  return Object.fromEntries(keys.map((key) => [key, null])) as { [K in Key]: null };
}

function change(
  tenant: TenantConfig,
  patch: TenantPatch,
  defaults: PoolSettings,
): readonly TenantEvent[] {
  const { protocol, password, pool, ...fields } = patch;
  requireSameProtocol(tenant, protocol);
  const poolChanges = changedSettings(tenant.pool, pool ?? {});
  if (Object.keys(poolChanges).length > 0) {
    requireConsistentPool(withPoolChanges(tenant.pool, poolChanges), defaults);
  }
  requireConsistentTls(fields.serverTls ?? undefined);
  const changes: TenantChanges = {
    ...changedFields(tenant, fields),
    ...(Object.keys(poolChanges).length > 0 && { pool: poolChanges }),
  };
  const events: TenantEvent[] = [];
  if (Object.keys(changes).length > 0) {
    const event = { type: 'TenantUpdated', data: { changes } } as const;
    requireConsistentUsers(evolveConfig(tenant, event) ?? tenant);
    events.push(event);
  }
  if (password !== undefined && !isDeepStrictEqual(password, tenant.password)) {
    events.push({ type: 'TenantCredentialsChanged', data: { password } });
  }
  return events;
}

function changedFields(
  tenant: TenantConfig,
  fields: Omit<TenantPatch, 'pool'>,
): Omit<TenantChanges, 'pool'> {
  const changed = Object.entries(fields).filter(
    ([name, value]) =>
      value !== undefined && !isDeepStrictEqual(value, tenant[name as keyof TenantConfig] ?? null),
  );
  return Object.fromEntries(changed);
}

function changedSettings(present: TenantPool, patch: PoolChangeSet): PoolChanges {
  const changed = Object.entries(patch).filter(
    ([name, value]) =>
      value !== undefined && value !== (present[name as keyof PoolSettings] ?? null),
  );
  return Object.fromEntries(changed);
}

const EVENT_OF = Object.freeze({
  pause: 'TenantPaused',
  resume: 'TenantResumed',
  drain: 'TenantDrained',
  reconnect: 'TenantReconnected',
  kill: 'TenantClientsKilled',
});

function operate(tenant: TenantConfig, operation: TenantOperation): readonly TenantEvent[] {
  const before = operationsOf(tenant);
  if (operated(before, operation) === before) return [];
  if (operation === 'pause' && before.state === 'draining') throw draining(tenant.id);
  return [{ type: EVENT_OF[operation], data: {} }];
}

/** Clients that are being ended cannot be kept waiting. */
function draining(id: TenantId): AppError {
  return controlErrors.fail(
    'TENANT_BEING_DRAINED',
    `Tenant "${id}" is being drained and cannot be paused.`,
    { hint: 'Resume it first.' },
  );
}

function requireSameProtocol(tenant: TenantConfig, protocol: Protocol | undefined): void {
  if (protocol === undefined || protocol === tenant.protocol) return;
  throw controlErrors.fail(
    'TENANT_PROTOCOL_FIXED',
    `Tenant "${tenant.id}" speaks ${tenant.protocol} and cannot change to ${protocol}.`,
    { hint: 'Remove the tenant and register it anew.' },
  );
}
