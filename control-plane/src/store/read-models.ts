/**
 * The read models: what queries see. They are updated in the transaction that appends, so a read
 * after a write sees it; they hold nothing that folding the events would not give again.
 */
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { StoredEvent } from './event.ts';
import type { TenantOrigin } from '../domain/tenant/events.ts';
import type { ApiKeyModel } from './api-keys.ts';
import type { ServerModel, ServerReader } from './servers.ts';

export interface TenantView {
  readonly config: TenantConfig;
  /** Who manages it. */
  readonly origin: TenantOrigin;
  /** Version of the tenant's stream; its ETag. Rises by one with each event, over removals too. */
  readonly version: number;
  /** Position of the last event that changed it. */
  readonly position: Position;
  /** When it was registered (the last time, if it was removed in between). */
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface DefaultsView {
  readonly defaults: PoolSettings;
  /** 0 as long as nobody set them. */
  readonly version: number;
  readonly position: Position;
}

export interface TenantQuery {
  /** The `next` of the page before. */
  readonly after?: string | undefined;
  readonly limit: number;
  /** Only tenants whose id, host, database or user name holds this text, ignoring case. */
  readonly search?: string | undefined;
  /** Only tenants whose id matches this pattern: domain/api-key/tenant-pattern.ts. */
  readonly reach?: string | null | undefined;
}

export interface TenantPage {
  /** Ordered by lower-case id. */
  readonly tenants: readonly TenantView[];
  /** Where the next page goes on; absent after the last one. */
  readonly next?: string;
}

/** Tenants whose host, ignoring case, and port are these. */
export interface ServerQuery {
  readonly host: string;
  readonly port: number;
  /** Only tenants whose id matches this pattern, as in `TenantQuery`. */
  readonly reach?: string | null | undefined;
}

export interface ServerBudget {
  readonly tenants: number;
  /** Their `max_connections` together, their own or the default. */
  readonly maxConnections: number;
}

export interface TenantReader {
  /** The tenant, whatever the case of `id`, or nothing when it is not registered. */
  getTenant(id: string): TenantView | undefined;
  listTenants(query: TenantQuery): TenantPage;
  countTenants(): number;
  /** What the tenants of one server may open there: one look at all tenants. */
  budgetOf(server: ServerQuery): ServerBudget;
  getDefaults(): DefaultsView;
  readonly servers: ServerReader;
}

/** What a projection needs: views by their names, as they are and as they are next. */
export interface FoldedModels extends Pick<TenantReader, 'getTenant' | 'getDefaults'> {
  readonly apiKeys: ApiKeyModel;
  readonly servers: ServerModel;
  putTenant(view: TenantView): void;
  removeTenant(id: string): void;
  putDefaults(view: DefaultsView): void;
}

/** The store offers them inside the transaction that appends. */
export interface ReadModels extends TenantReader, FoldedModels {
  readonly servers: ServerModel;
  /** A tenant whose own minimum would be above its maximum under these defaults, or nothing. */
  findContradicted(defaults: PoolSettings): TenantView | undefined;
  clear(): void;
}

/** Brings the read models up to date with one event. Called in order, once for each. */
export type Project = (event: StoredEvent, models: FoldedModels) => void;

export const INITIAL_DEFAULTS_VIEW: DefaultsView = Object.freeze({
  defaults: DEFAULT_POOL_SETTINGS,
  version: 0,
  position: 0,
});

/** What `TenantQuery.search` looks into, in lower case. */
export function searchTextOf({ id, host, database, username }: TenantConfig): string {
  return [id, host, database, username].join('\n').toLowerCase();
}

/** One page out of the up to `limit + 1` views that follow `after`. */
export function pageOf(views: readonly TenantView[], limit: number): TenantPage {
  const tenants = views.slice(0, limit);
  const last = tenants.at(-1);
  if (views.length <= limit || last === undefined) return { tenants };
  return { tenants, next: tenantKey(last.config.id) };
}
