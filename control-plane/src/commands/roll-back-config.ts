/**
 * Brings tenants, servers and defaults back to what they were at a position: one command for each
 * that is another one now, all in the caller's transaction.
 * Leaves: the rules to domain/, whether old secrets still open to who asks.
 */
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Position, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { serverCommands } from '../domain/server/changes.ts';
import type { ServerCommand } from '../domain/server/commands.ts';
import { serverKeyOfStream } from '../domain/server/events.ts';
import type { TenantCommand } from '../domain/tenant/commands.ts';
import { tenantKeyOfStream } from '../domain/tenant/events.ts';
import { controlErrors } from '../errors.ts';
import { defaultsAt, pastOfTenant, serverAt } from '../projections/past.ts';
import type { StoredEvent } from '../store/event.ts';
import type { EventStore } from '../store/event-store.ts';
import type { ConfigCommand } from './commands.ts';

export const CONFIG_ROLLBACK_LIMITS = Object.freeze({
  /** Tenants changed since: each is folded and may be written, while nobody else is served. */
  tenantsMax: 10_000,
});

export interface RollBackConfig {
  readonly to: Position;
  /**
   * The tenant of then as it can be used now. @throws what keeps it from being used, and so all of
   * them from going back
   */
  readonly renew: (then: TenantConfig, present: TenantConfig | undefined) => TenantConfig;
}

export interface ConfigRollback {
  /** The last position of the log afterwards. */
  readonly position: Position;
  /** What it took; empty when everything was as then. */
  readonly events: readonly StoredEvent[];
}

/**
 * @param handle does a command in the caller's transaction and gives what it caused.
 * @throws VALIDATION_FAILED naming the tenant, STORE_*, what `renew` throws: keep nothing then.
 */
export function rollBackConfig(
  store: EventStore,
  { to, renew }: RollBackConfig,
  handle: (command: ConfigCommand) => readonly StoredEvent[],
): ConfigRollback {
  const defaults = defaultsAt(store, to);
  const events: StoredEvent[] = [];
  for (const key of tenantsChangedSince(store, to)) {
    const command = commandFor(store, key, { to, renew, defaults });
    if (command !== undefined) events.push(...naming(key, () => handle(command)));
  }
  for (const command of serverCommandsBackTo(store, to)) events.push(...handle(command));
  const setDefaults = { kind: 'set_defaults', defaults, rolledBackTo: to } as const;
  events.push(...handle(setDefaults));
  return { position: store.head(), events };
}

/** Whose a server is stays as it is; one that comes back is the API's. */
function serverCommandsBackTo(store: EventStore, to: Position): readonly ServerCommand[] {
  const streams = store.streamsWithin(to, store.head() + 1);
  const names = streams.map(serverKeyOfStream).filter((name) => name !== undefined);
  const changes = names.map((name) => ({
    present: store.servers.get(name)?.server,
    wanted: serverAt(store, name, to),
  }));
  return serverCommands(changes, { rolledBackTo: to });
}

/** @throws VALIDATION_FAILED when there are too many. */
function tenantsChangedSince(store: EventStore, position: Position): readonly string[] {
  const { tenantsMax } = CONFIG_ROLLBACK_LIMITS;
  const streams = store.streamsWithin(position, store.head() + 1);
  const keys = streams.map(tenantKeyOfStream).filter((key) => key !== undefined);
  if (keys.length <= tenantsMax) return keys;
  throw controlErrors.fail(
    'VALIDATION_FAILED',
    `${keys.length} tenants were changed since position ${position}.`,
    { hint: `At most ${tenantsMax} go back at once: name a later position.` },
  );
}

function commandFor(
  store: EventStore,
  key: string,
  { to, renew, defaults }: RollBackConfig & { readonly defaults: PoolSettings },
): TenantCommand | undefined {
  const past = pastOfTenant(store, key, to);
  const present = store.getTenant(key)?.config;
  if (past.was === undefined) {
    return present === undefined ? undefined : { kind: 'remove_tenant', id: present.id };
  }
  const was = renew(past.was, present);
  const id = key as TenantId;
  return { kind: 'roll_back_tenant', id, to, past: { ...past, was }, defaults };
}

/** Of many tenants, the one that cannot go back must be named. */
function naming<T>(key: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!controlErrors.is(error) || error.code !== 'VALIDATION_FAILED') throw error;
    throw controlErrors.fail('VALIDATION_FAILED', `Tenant "${key}": ${error.message}`, {
      ...(error.hint !== undefined && { hint: error.hint }),
      cause: error,
    });
  }
}
