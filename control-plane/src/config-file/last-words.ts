/**
 * What the config file said last of a tenant, of a server and of the defaults, read off the log:
 * the state after the last event that the file caused. It tells a change of the file from one that
 * was made elsewhere since. Pure, but for the log it reads.
 */
import type { ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
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
import { tenantStream } from '../domain/tenant/events.ts';
import { evolveConfig } from '../domain/tenant/state.ts';
import type { EventReader } from '../store/event-store.ts';

/** How events name the file as their cause. */
export const FILE_ACTOR = 'file';

export interface LastWords {
  /** Nothing when the file never spoke of it; a tenant it removed is absent. */
  onTenant(id: string): { readonly tenant: TenantConfig | undefined } | undefined;
  onDefaults(): PoolSettings | undefined;
  /** As `onTenant`. */
  onServer(name: string): { readonly server: ServerConfig | undefined } | undefined;
}

/** Reads one stream for each question: ask only where something differs. */
export function lastWordsIn(log: Pick<EventReader, 'readStream'>): LastWords {
  return {
    onTenant(id) {
      let tenant: TenantConfig | undefined;
      let word: ReturnType<LastWords['onTenant']>;
      for (const stored of log.readStream(tenantStream(id))) {
        const event = decodeEvent(stored);
        if (isTenantEvent(event)) tenant = evolveConfig(tenant, event);
        if (stored.actor === FILE_ACTOR) word = { tenant };
      }
      return word;
    },
    onDefaults() {
      let defaults = INITIAL_DEFAULTS;
      let word: PoolSettings | undefined;
      for (const stored of log.readStream(DEFAULTS_STREAM)) {
        const event = decodeEvent(stored);
        if (isDefaultsEvent(event)) defaults = evolveDefaults(defaults, event);
        if (stored.actor === FILE_ACTOR) word = defaults;
      }
      return word;
    },
    onServer(name) {
      let state: ServerState;
      let word: ReturnType<LastWords['onServer']>;
      for (const stored of log.readStream(serverStream(name))) {
        const event = decodeEvent(stored);
        if (isServerEvent(event)) state = evolveServer(state, event);
        if (stored.actor === FILE_ACTOR) word = { server: state?.server };
      }
      return word;
    },
  };
}
