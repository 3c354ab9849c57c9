/**
 * Of tenants with a canary, what this proxy serves of them.
 * Owns: knowing them without looking through all tenants. Leaves: which proxies try a change to the
 * control plane, what is served of one tenant to shared/contract/canary.ts.
 */
import { servedBy } from '@dbbouncer/shared/contract/canary.ts';
import type { RoutingConfig, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { memberNamed } from '@dbbouncer/shared/kernel/packed-map.ts';
import type { RoutingSnapshot } from './snapshot.ts';

const CANARY = memberNamed('canary');

export class Canaries {
  readonly #proxy: ProxyId | undefined;
  /** By `tenantKey`: what is served of each that has one. */
  readonly #served = new Map<string, TenantConfig>();

  /** @param proxy this one; without it, none is ever a canary */
  constructor(proxy: ProxyId | undefined) {
    this.#proxy = proxy;
  }

  /**
   * What is served once `told` follows on `previous`; called once for each swap, in order. Until a
   * tenant has a canary that is `told` itself, from then on a config of its own that changes by
   * what changes.
   */
  follow(previous: RoutingSnapshot, told: RoutingConfig): RoutingConfig {
    const { tenants } = told;
    for (const key of tenants.changedKeys(previous.told.tenants)) {
      // Of 100,000 tenants that are new at once, hardly one has a canary.
      const tenant = tenants.mentions(key, CANARY) === 'no' ? undefined : tenants.look(key);
      if (tenant?.canary === undefined) this.#served.delete(key);
      else this.#served.set(key, servedBy(this.#proxy, tenant));
    }
    const isOfItsOwn = previous.config !== previous.told;
    if (this.#served.size === 0 && !isOfItsOwn) return told;
    return { ...told, tenants: this.#next(previous, tenants) };
  }

  #next({ told, config }: RoutingSnapshot, tenants: RoutingConfig['tenants']) {
    const changed = [...tenants.changedKeys(told.tenants)];
    if (changed.length * 2 > tenants.size) {
      return tenants.with(this.#served).sharing(config.tenants);
    }
    const entries = changed.map(
      (key) => [key, this.#served.get(key) ?? tenants.look(key)] as const,
    );
    return config.tenants.with(entries);
  }
}
