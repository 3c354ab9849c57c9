/**
 * What a tenant is after its events: the one fold that views, routing config and decisions share.
 */
import { candidateOf, withoutCanary } from '@dbbouncer/shared/contract/canary.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { operated, operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { TenantOperation } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { assert, unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { PoolChanges, TenantChanges, TenantEvent, TenantOrigin } from './events.ts';

/** The settings a tenant has set itself. */
export type TenantPool = TenantConfig['pool'];

/** `absent`: never registered, or removed; both can be registered. */
export type TenantState = { readonly status: 'absent' } | RegisteredTenant;

export interface RegisteredTenant {
  readonly status: 'registered';
  readonly tenant: TenantConfig;
  readonly origin: TenantOrigin;
}

export const ABSENT: TenantState = Object.freeze({ status: 'absent' });

export function registered(tenant: TenantConfig, origin: TenantOrigin): RegisteredTenant {
  return { status: 'registered', tenant, origin };
}

export function evolveTenant(state: TenantState, event: TenantEvent): TenantState {
  if (begins(event)) return registered(event.data.tenant, event.data.origin);
  assert(state.status === 'registered', 'only a registered tenant changes');
  if (event.type === 'TenantAdopted') return registered(state.tenant, 'file');
  const tenant = evolveConfig(state.tenant, event);
  return tenant === undefined ? ABSENT : registered(tenant, state.origin);
}

type Beginning = Extract<TenantEvent, { type: 'TenantRegistered' | 'TenantRestored' }>;

function begins(event: TenantEvent): event is Beginning {
  return event.type === 'TenantRegistered' || event.type === 'TenantRestored';
}

/** The same fold for those who need the config alone; nothing stands for absent. */
export function evolveConfig(
  tenant: TenantConfig | undefined,
  event: TenantEvent,
): TenantConfig | undefined {
  if (begins(event)) return event.data.tenant;
  assert(tenant !== undefined, 'only a registered tenant changes');
  switch (event.type) {
    case 'TenantUpdated':
      return withChanges(tenant, event.data.changes);
    case 'TenantCredentialsChanged':
      return { ...tenant, password: event.data.password };
    case 'TenantPaused':
    case 'TenantResumed':
    case 'TenantDrained':
    case 'TenantReconnected':
    case 'TenantClientsKilled':
      return withOperation(tenant, OPERATION_OF[event.type]);
    case 'TenantAdopted':
      return tenant;
    case 'TenantRemoved':
      return undefined;
    case 'TenantRolledBack':
      return event.data.tenant;
    case 'CanaryStarted':
      return { ...tenant, canary: event.data.canary };
    case 'CanaryPromoted':
      assert(tenant.canary !== undefined, 'only a canary that runs is promoted');
      return candidateOf(tenant, tenant.canary.candidate);
    case 'CanaryRolledBack':
      return withoutCanary(tenant);
    default:
      return unreachable(event);
  }
}

const OPERATION_OF = Object.freeze({
  TenantPaused: 'pause',
  TenantResumed: 'resume',
  TenantDrained: 'drain',
  TenantReconnected: 'reconnect',
  TenantClientsKilled: 'kill',
});

function withOperation(tenant: TenantConfig, operation: TenantOperation): TenantConfig {
  return { ...tenant, operations: operated(operationsOf(tenant), operation) };
}

function withChanges(tenant: TenantConfig, { pool, ...fields }: TenantChanges): TenantConfig {
  const next = overwritten(tenant, fields) as TenantConfig;
  return pool === undefined ? next : { ...next, pool: withPoolChanges(tenant.pool, pool) };
}

/** The overrides after `changes`; a setting that went back to its default is not among them. */
export function withPoolChanges(pool: TenantPool, changes: PoolChanges): TenantPool {
  return overwritten(pool, changes);
}

/**
 * `object` after `changes`: a member that is null is taken away, one that is undefined was not
 * given. Folds of long logs spend their time here.
 */
function overwritten(object: object, changes: object): object {
  const next: Record<string, unknown> = { ...object };
  let taken = 0;
  for (const name of Object.keys(changes)) {
    const value = (changes as Record<string, unknown>)[name];
    if (value !== undefined) next[name] = value;
    if (value === null) taken += 1;
  }
  if (taken === 0) return next;
  return Object.fromEntries(Object.entries(next).filter(([, value]) => value !== null));
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/**
 * The same without the members that are undefined: "not given" must not overwrite what is there.
 */
export function withoutUndefined<T extends object>(object: T): Defined<T> {
  const given = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as Defined<T>;
}
