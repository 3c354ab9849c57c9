/**
 * What an operator can ask of a tenant. Secrets arrive sealed or as references.
 */
import type { PoolChangeSet } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Canary, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type {
  TenantChangeSet,
  TenantReplacement,
} from '@dbbouncer/shared/contract/tenant-conversion.ts';
import type { TenantOperation } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Position, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { CanaryCause, CountedBefore, TenantOrigin } from './events.ts';

export interface RegisterTenant {
  readonly kind: 'register_tenant';
  readonly origin: TenantOrigin;
  readonly tenant: TenantConfig;
}

/**
 * Makes a registered tenant exactly this. Without a password the present one stays. Passwords
 * compare as stored: to say "unchanged", pass the stored secret or none, not a fresh seal of the
 * same text.
 */
export interface ReplaceTenant {
  readonly kind: 'replace_tenant';
  readonly tenant: TenantReplacement;
}

/**
 * Changes what is present; a pool setting of `null` goes back to the default, a part is taken away.
 */
export interface UpdateTenant {
  readonly kind: 'update_tenant';
  readonly id: TenantId;
  readonly changes: TenantPatch;
}

export interface RemoveTenant {
  readonly kind: 'remove_tenant';
  readonly id: TenantId;
}

/** Gives a tenant that the API registered to the config file. */
export interface AdoptTenant {
  readonly kind: 'adopt_tenant';
  readonly id: TenantId;
}

/** Does something to the tenant's traffic; its settings stay as they are. */
export interface OperateTenant {
  readonly kind: 'operate_tenant';
  readonly id: TenantId;
  readonly operation: TenantOperation;
}

/**
 * Gives the tenant the settings it had at `to`; brings it back when it was removed since. What was
 * operated on it is no setting, and stays.
 */
export interface RollBackTenant {
  readonly kind: 'roll_back_tenant';
  readonly id: TenantId;
  readonly to: Position;
  readonly past: TenantPast;
  /** The fleet's settings it must agree with, when they come back together; else those of now. */
  readonly defaults?: PoolSettings | undefined;
}

/** Brings a removed tenant back as it was when it was removed. */
export interface RestoreTenant {
  readonly kind: 'restore_tenant';
  readonly id: TenantId;
  readonly past: TenantPast;
}

/** Has some proxies serve what the change would make of the tenant, before all do. */
export interface StartCanary {
  readonly kind: 'start_canary';
  readonly change: ReplaceTenant | UpdateTenant;
  readonly canary: Omit<Canary, 'candidate'>;
  readonly before: readonly CountedBefore[];
}

/** Has all proxies serve what the canaries do. */
export interface PromoteCanary {
  readonly kind: 'promote_canary';
  readonly id: TenantId;
  /** Of the canary that is meant; without it, of the one that runs. */
  readonly startedAt?: string | undefined;
}

/** Has the canaries serve what all others do. */
export interface RollBackCanary {
  readonly kind: 'roll_back_canary';
  readonly id: TenantId;
  readonly cause: CanaryCause;
  readonly startedAt?: string | undefined;
}

/** What the events of a tenant say of its past, which no later event changes. */
export interface TenantPast {
  /** At the position in question; nothing when it was not registered then. */
  readonly was: TenantConfig | undefined;
  /** The last time it was registered, and the position of the event that left it so. */
  readonly last: { readonly tenant: TenantConfig; readonly position: Position } | undefined;
}

export type TenantCommand =
  | RegisterTenant
  | ReplaceTenant
  | UpdateTenant
  | OperateTenant
  | RemoveTenant
  | AdoptTenant
  | RollBackTenant
  | RestoreTenant
  | StartCanary
  | PromoteCanary
  | RollBackCanary;

export type TenantPatch = Omit<TenantChangeSet, 'pool'> & {
  readonly pool?: PoolChangeSet | undefined;
};

/** The id a command is about, as its sender wrote it. */
export function tenantIdOf(command: TenantCommand): TenantId {
  if (command.kind === 'start_canary') return tenantIdOf(command.change);
  return 'tenant' in command ? command.tenant.id : command.id;
}
