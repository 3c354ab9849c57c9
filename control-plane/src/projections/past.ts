/**
 * What was, at any position of the log: tenants and defaults, folded from their own streams alone.
 * Pure, but for the log it reads. What it says of a position no later event changes.
 */
import type { ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { evolveDefaults, INITIAL_DEFAULTS } from '../domain/defaults/decide.ts';
import { DEFAULTS_STREAM } from '../domain/defaults/events.ts';
import {
  decodeEvent,
  isDefaultsEvent,
  isServerEvent,
  isTenantEvent,
} from '../domain/domain-event.ts';
import { evolveServer } from '../domain/server/decide.ts';
import type { ServerState } from '../domain/server/decide.ts';
import { serverStream } from '../domain/server/events.ts';
import type { TenantPast } from '../domain/tenant/commands.ts';
import { tenantStream } from '../domain/tenant/events.ts';
import { evolveConfig } from '../domain/tenant/state.ts';
import type { EventReader } from '../store/event-store.ts';

export interface FoldedPast extends TenantPast {
  /** Of the tenant's stream, as far as it was read; 0 when there is none. */
  readonly version: number;
}

/** A tenant at `position`, and the last time it was there at all. */
export function pastOfTenant(log: EventReader, id: string, position: Position): FoldedPast {
  let version = 0;
  let tenant: TenantConfig | undefined;
  let was: TenantConfig | undefined;
  let last: TenantPast['last'];
  for (const stored of log.readStream(tenantStream(id))) {
    const event = decodeEvent(stored);
    if (isTenantEvent(event)) tenant = evolveConfig(tenant, event);
    version = stored.streamVersion;
    if (stored.position <= position) was = tenant;
    if (tenant !== undefined) last = { tenant, position: stored.position };
  }
  return { was, last, version };
}

export function defaultsAt(log: EventReader, position: Position): PoolSettings {
  let defaults = INITIAL_DEFAULTS;
  for (const stored of log.readStream(DEFAULTS_STREAM)) {
    if (stored.position > position) break;
    const event = decodeEvent(stored);
    if (isDefaultsEvent(event)) defaults = evolveDefaults(defaults, event);
  }
  return defaults;
}

export function serverAt(
  log: Pick<EventReader, 'readStream'>,
  name: string,
  position: Position,
): ServerConfig | undefined {
  let state: ServerState;
  for (const stored of log.readStream(serverStream(name))) {
    if (stored.position > position) break;
    const event = decodeEvent(stored);
    if (isServerEvent(event)) state = evolveServer(state, event);
  }
  return state?.server;
}
