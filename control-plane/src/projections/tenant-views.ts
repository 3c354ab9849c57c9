/**
 * The inline projection: keeps the views that queries read. Runs in the transaction that appends,
 * for every event.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { evolveDefaults } from '../domain/defaults/decide.ts';
import {
  decodeEvent,
  isApiKeyEvent,
  isDefaultsEvent,
  isServerEvent,
  isTenantEvent,
  isTermEvent,
} from '../domain/domain-event.ts';
import { tenantKeyOfStream } from '../domain/tenant/events.ts';
import type { TenantEvent } from '../domain/tenant/events.ts';
import { ABSENT, evolveTenant, registered } from '../domain/tenant/state.ts';
import type { TenantState } from '../domain/tenant/state.ts';
import type { StoredEvent } from '../store/event.ts';
import type { Project, FoldedModels, TenantView } from '../store/read-models.ts';
import { projectApiKey } from './api-key-views.ts';
import { projectServer } from './server-views.ts';

export const projectViews: Project = (stored, models) => {
  const event = decodeEvent(stored);
  if (isDefaultsEvent(event)) {
    models.putDefaults({
      defaults: evolveDefaults(models.getDefaults().defaults, event),
      version: stored.streamVersion,
      position: stored.position,
    });
  } else if (isApiKeyEvent(event)) {
    projectApiKey(stored, event, models);
  } else if (isServerEvent(event)) {
    projectServer(stored, event, models);
  } else if (!isTermEvent(event)) {
    projectTenant(stored, event, models);
  }
};

function projectTenant(stored: StoredEvent, event: TenantEvent, models: FoldedModels): void {
  const key = tenantKeyOfStream(stored.stream);
  assert(key !== undefined, 'a tenant event is in the stream of a tenant');
  const view = evolve(models.getTenant(key), stored, event);
  if (view === undefined) models.removeTenant(key);
  else models.putTenant(view);
}

/**
 * The view after the next event of its tenant; nothing when the tenant is removed. Folded over a
 * stream up to any position, it gives what the read models held then.
 */
export function evolveView(
  before: TenantView | undefined,
  stored: StoredEvent,
): TenantView | undefined {
  const event = decodeEvent(stored);
  assert(isTenantEvent(event), 'the stream of a tenant holds events of tenants');
  return evolve(before, stored, event);
}

function evolve(
  before: TenantView | undefined,
  stored: StoredEvent,
  event: TenantEvent,
): TenantView | undefined {
  const state = evolveTenant(stateOf(before), event);
  if (state.status === 'absent') return undefined;
  return {
    config: state.tenant,
    origin: state.origin,
    version: stored.streamVersion,
    position: stored.position,
    createdAt: before?.createdAt ?? stored.occurredAt,
    updatedAt: stored.occurredAt,
  };
}

/** The folded state a view holds: decisions need not read the stream again. */
export function stateOf(view: TenantView | undefined): TenantState {
  return view === undefined ? ABSENT : registered(view.config, view.origin);
}
