/** A config of the simulated world as both planes read it. */
import type { BudgetConfig, TenantBudget } from '@dbbouncer/control-plane/budget/budget-config.ts';
import type { BudgetTenant, BudgetTenants } from '@dbbouncer/data-plane/budget/allowance.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';

export interface SimulatedTenant {
  readonly maxConnections: number;
  readonly server: string;
}

export class SimulatedConfig {
  readonly position: number;
  readonly all: ReadonlyMap<string, SimulatedTenant>;
  readonly changedAt: ReadonlyMap<string, number>;
  /** Caps of declared servers. */
  readonly servers: ReadonlyMap<string, number>;
  readonly #ofProxies = new Map<string, BudgetTenant>();
  readonly #ofPlane = new Map<string, TenantBudget>();

  constructor(
    position: number,
    all: ReadonlyMap<string, SimulatedTenant>,
    servers: ReadonlyMap<string, number>,
    before?: SimulatedConfig,
  ) {
    const isWide = before?.servers !== servers;
    const isSame = (key: string): boolean => !isWide && before?.all.get(key) === all.get(key);
    this.changedAt = new Map(
      EVERY_KEY.map((key) => [key, isSame(key) ? (before?.changedAt.get(key) ?? 0) : position]),
    );
    this.position = position;
    this.all = all;
    this.servers = servers;
    for (const [key, tenant] of all) this.#enter(key, tenant);
  }

  get allKeys(): readonly string[] {
    return EVERY_KEY;
  }

  maxOf(key: string): number {
    return this.all.get(key)?.maxConnections ?? 0;
  }

  /** As proxies have it. */
  get tenants(): BudgetTenants {
    return this.#ofProxies;
  }

  /** As the allocator has it. */
  get budget(): BudgetConfig {
    const { position } = this;
    const onServers = [...this.#ofPlane].flatMap(([key, { server }]) => (server ? key : []));
    return { position, get: (key) => this.#ofPlane.get(key), onServers: () => onServers };
  }

  #enter(key: string, { maxConnections, server: name }: SimulatedTenant): void {
    const id = key as TenantId;
    const cap = this.servers.get(name);
    const server = cap === undefined ? undefined : { name, maxConnections: cap };
    const formula = server === undefined ? 'applies' : 'declared_server';
    this.#ofProxies.set(key, { id, maxConnections, formula, server: name });
    const base = server === undefined ? maxConnections : 0;
    const changedAt = this.changedAt.get(key) ?? 0;
    this.#ofPlane.set(key, { id, maxConnections, base, changedAt, server });
  }
}

/** Tenants of the simulated world are few, and may come and go. */
export const EVERY_KEY: readonly string[] = ['t1', 't2', 't3', 't4'];
