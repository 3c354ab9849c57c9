/**
 * The read models in memory: one immutable map and a value, so that undoing is keeping the former
 * ones.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { FrozenMap } from '@dbbouncer/shared/kernel/frozen-map.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import { reaches } from '../domain/api-key/tenant-pattern.ts';
import { MemoryApiKeys } from './memory-api-keys.ts';
import { MemoryServers } from './memory-servers.ts';
import { INITIAL_DEFAULTS_VIEW, pageOf, searchTextOf } from './read-models.ts';
import type {
  DefaultsView,
  ReadModels,
  ServerBudget,
  ServerQuery,
  TenantPage,
  TenantQuery,
  TenantView,
} from './read-models.ts';

export class MemoryReadModels implements ReadModels {
  readonly apiKeys = new MemoryApiKeys();
  readonly servers = new MemoryServers();
  #tenants = FrozenMap.empty<TenantView>();
  #defaults = INITIAL_DEFAULTS_VIEW;

  getTenant(id: string): TenantView | undefined {
    return this.#tenants.get(tenantKey(id));
  }

  listTenants({ after = '', limit, search = '', reach = null }: TenantQuery): TenantPage {
    const text = search.toLowerCase();
    const views = [...this.#tenants]
      .filter(([key, view]) => key > after && searchTextOf(view.config).includes(text))
      .filter(([key]) => reaches(reach, key))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, limit + 1)
      .map(([, view]) => view);
    return pageOf(views, limit);
  }

  countTenants(): number {
    return this.#tenants.size;
  }

  budgetOf({ host, port, reach = null }: ServerQuery): ServerBudget {
    const { maxConnections } = this.#defaults.defaults;
    const own = [...this.#tenants]
      .filter(([key]) => reaches(reach, key))
      .map(([, { config }]) => config)
      .filter((config) => config.port === port)
      .filter((config) => config.host.toLowerCase() === host.toLowerCase());
    const most = own.map(({ pool }) => pool.maxConnections ?? maxConnections);
    return { tenants: own.length, maxConnections: most.reduce((sum, one) => sum + one, 0) };
  }

  getDefaults(): DefaultsView {
    return this.#defaults;
  }

  findContradicted(pool: PoolSettings): TenantView | undefined {
    for (const view of this.#tenants.values()) {
      const { minConnections = 0, maxConnections = pool.maxConnections } = view.config.pool;
      if (minConnections > maxConnections) return view;
    }
    return undefined;
  }

  putTenant(view: TenantView): void {
    this.#tenants = this.#tenants.with([[tenantKey(view.config.id), view]]);
  }

  removeTenant(id: string): void {
    this.#tenants = this.#tenants.with([[tenantKey(id), undefined]]);
  }

  putDefaults(view: DefaultsView): void {
    this.#defaults = view;
  }

  clear(): void {
    this.apiKeys.clear();
    this.servers.clear();
    this.#tenants = FrozenMap.empty();
    this.#defaults = INITIAL_DEFAULTS_VIEW;
  }

  /** The returned function brings back what is there now. */
  remember(): () => void {
    const tenants = this.#tenants;
    const defaults = this.#defaults;
    const undoKeys = this.apiKeys.remember();
    const undoServers = this.servers.remember();
    return () => {
      undoKeys();
      undoServers();
      this.#tenants = tenants;
      this.#defaults = defaults;
    };
  }
}
