/**
 * Read models while many events are folded at once: each view is changed in memory as often as it
 * is, and put into its table once, at the end. Keys of the API and servers are few, and go there at
 * once.
 */
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { ApiKeyModel } from './api-keys.ts';
import { INITIAL_DEFAULTS_VIEW } from './read-models.ts';
import type { DefaultsView, FoldedModels, TenantView } from './read-models.ts';
import type { ServerModel } from './servers.ts';

export class HeldViews implements FoldedModels {
  readonly #models: FoldedModels;
  readonly #tenants = new Map<string, TenantView>();
  #defaults: DefaultsView = INITIAL_DEFAULTS_VIEW;

  /** @param models empty, and nobody else's until `settle` */
  constructor(models: FoldedModels) {
    this.#models = models;
  }

  get apiKeys(): ApiKeyModel {
    return this.#models.apiKeys;
  }

  get servers(): ServerModel {
    return this.#models.servers;
  }

  getTenant(id: string): TenantView | undefined {
    return this.#tenants.get(tenantKey(id));
  }

  putTenant(view: TenantView): void {
    this.#tenants.set(tenantKey(view.config.id), view);
  }

  removeTenant(id: string): void {
    this.#tenants.delete(tenantKey(id));
  }

  getDefaults(): DefaultsView {
    return this.#defaults;
  }

  putDefaults(view: DefaultsView): void {
    this.#defaults = view;
  }

  /** Puts what is held where it belongs; no event is folded afterwards. */
  settle(): void {
    if (this.#defaults !== INITIAL_DEFAULTS_VIEW) this.#models.putDefaults(this.#defaults);
    for (const view of this.#tenants.values()) this.#models.putTenant(view);
    this.#tenants.clear();
  }
}
