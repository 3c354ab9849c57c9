/**
 * The read models: what queries see. They are updated in the transaction that appends, so a read after a write
 * sees it; they hold nothing that folding the events would not give again.
 */
import type { PoolSettings, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';

export interface TenantView {
  readonly config: TenantConfig;
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
  /** Only tenants whose id, host or database holds this text, ignoring the case of ASCII letters. */
  readonly search?: string | undefined;
}

export interface TenantPage {
  /** Ordered by lower-case id. */
  readonly tenants: readonly TenantView[];
  /** Where the next page goes on; absent after the last one. */
  readonly next?: string;
}

export interface TenantReader {
  /** The tenant, whatever the case of `id`, or nothing when it is not registered. */
  getTenant(id: string): TenantView | undefined;
  listTenants(query: TenantQuery): TenantPage;
  countTenants(): number;
  getDefaults(): DefaultsView;
}
